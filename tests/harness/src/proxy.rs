//! A proxy, as companies have them, that takes every AWS host name to the harness's own AWS.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::TcpStream,
};

use crate::{aws::Aws, server::Server};

/// A running proxy. It ends when dropped.
pub struct Proxy {
    server: Server<1>,
    asked: Arc<Mutex<Vec<String>>>,
    refused: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Starts a proxy before this AWS.
    pub fn start(aws: &Aws) -> Self {
        let asked = Arc::new(Mutex::default());
        let (http, https) = (aws.http_address(), aws.https_address());
        let log = Arc::clone(&asked);
        let refused: Arc<Mutex<Vec<String>>> = Arc::default();
        let refuses = Arc::clone(&refused);
        let server = Server::start([0], move |_, client| {
            let (log, refuses) = (Arc::clone(&log), Arc::clone(&refuses));
            async move {
                // An error ends the connection.
                _ = serve(client, log, refuses, http, https).await;
            }
        });
        Self {
            server,
            asked,
            refused,
        }
    }

    /// Takes nobody to hosts whose names end so.
    pub fn refuse(&self, suffix: &str) {
        self.refused.lock().unwrap().push(format!("{suffix}:443 "));
    }

    /// What `HTTP_PROXY` and `HTTPS_PROXY` are set to.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.addresses[0])
    }

    /// The first lines of all requests so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Serves one connection.
async fn serve(
    mut client: TcpStream,
    log: Arc<Mutex<Vec<String>>>,
    refuses: Arc<Mutex<Vec<String>>>,
    http: SocketAddr,
    https: SocketAddr,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let first = String::from_utf8_lossy(&head)
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned();
    let connect = first.starts_with("CONNECT ");
    let refused = {
        let refuses = refuses.lock().unwrap();
        refuses.iter().any(|suffix| first.contains(suffix))
    };
    log.lock().unwrap().push(first);
    if refused {
        return client.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await;
    }
    let mut server = TcpStream::connect(if connect { https } else { http }).await?;
    if connect {
        client
            .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .await?;
    } else {
        server.write_all(&head).await?;
    }
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
