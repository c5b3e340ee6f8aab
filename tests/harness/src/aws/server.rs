//! Connections, and which service answers what they ask.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{Op, Request, State, container, imds, login, s3, sso, sts};
use crate::{history, sqs};

pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Serves a connection.
pub async fn serve(state: Arc<State>, tcp: TcpStream, secure: bool) {
    let reset = Arc::new(AtomicBool::new(false));
    let connection = Connection {
        tcp,
        reset: reset.clone(),
    };
    if !secure {
        serve_http(state, connection, reset, secure).await;
    } else if let Ok(connection) = state.acceptor.accept(connection).await {
        serve_http(state, connection, reset, secure).await;
    }
}

async fn serve_http<C>(state: Arc<State>, connection: C, reset: Arc<AtomicBool>, secure: bool)
where
    C: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let service = service_fn(|request| answer(state.clone(), request, reset.clone(), secure));
    // An error is that the client went away, or one that a fault asked for.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(connection), service)
        .await;
}

/// A connection that can end in a reset.
struct Connection {
    tcp: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.reset.load(Ordering::SeqCst) {
            let _ = self.tcp.set_zero_linger();
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}

async fn answer(
    state: Arc<State>,
    request: http::Request<Incoming>,
    reset: Arc<AtomicBool>,
    secure: bool,
) -> io::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let seen = Request::new(&parts, &body, state.start.elapsed(), secure);
    state.log.lock().unwrap().push(seen.clone());
    let fault = state.faults.take(&seen);
    if let Some(fault) = &fault
        && let Some(response) = fault.instead(&seen, &reset).await?
    {
        return Ok(response);
    }
    let response = of_service(&state, parts, body, &seen).await?;
    match fault {
        Some(fault) => fault.spoil(response, &reset).await,
        None => Ok(response),
    }
}

/// What the service says that is asked.
async fn of_service(
    state: &State,
    parts: http::request::Parts,
    body: Bytes,
    seen: &Request,
) -> io::Result<Response<Body>> {
    let world = &*state.world;
    let known = || world.key_of(seen);
    Ok(match seen.op {
        Op::Sqs => match sqs::refuse(known()) {
            Some(refusal) => refusal.response(),
            None => state.queues.answer(&seen.host, &seen.key, &body).await,
        }
        .map(full),
        Op::CloudTrail => match history::refuse(known()) {
            Some(refusal) => refusal,
            None => {
                let region = seen.region.as_deref().unwrap_or_default();
                state.history.answer(region, &seen.key, &body)
            }
        }
        .map(full),
        Op::Logs => match history::refuse(known()) {
            Some(refusal) => refusal,
            None => {
                let region = seen.region.as_deref().unwrap_or_default();
                state.logs.answer(region, &seen.key, &body)
            }
        }
        .map(full),
        Op::AssumeRoleWithWebIdentity => sts::web_identity(world, seen),
        Op::Container => container::answer(world, seen),
        Op::Instance => imds::answer(world, seen),
        Op::Sso => sso::answer(world, seen),
        Op::SsoToken => sso::token(),
        Op::Login => login::answer(world, seen, &body),
        // And STS's AssumeRole, whose signature s3s checks, too.
        _ => s3::answer(state, http::Request::from_parts(parts, body.into()), seen).await?,
    })
}

pub fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into())
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

/// A refusal by a service that credentials come from.
pub fn refused(status: u16) -> Response<Body> {
    Response::builder()
        .status(status)
        .body(full("{\"message\":\"no\"}"))
        .unwrap()
}

/// An error as the service sends it that is asked.
pub fn error(request: &Request, status: u16, code: &str, message: &str) -> Response<Body> {
    match request.op {
        Op::Sqs => sqs::Refusal {
            status,
            code: code.into(),
            message: message.into(),
        }
        .response()
        .map(full),
        Op::CloudTrail | Op::Logs => history::error(status, code, message).map(full),
        _ => s3::error(request, status, code, message),
    }
}
