//! What servers of the harness have in common: they accept connections on 127.0.0.1 until they are dropped.

use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr},
};

use tokio::{
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};

/// Listens on so many ports.
pub(crate) struct Server<const PORTS: usize> {
    /// Where.
    pub addresses: [SocketAddr; PORTS],
    /// Gone only in `drop`, which ends all connections.
    runtime: Option<Runtime>,
}

impl<const PORTS: usize> Server<PORTS> {
    /// On these ports, or any where one is 0. `serve` is told which of them a connection came to.
    pub fn start<F>(
        ports: [u16; PORTS],
        serve: impl Fn(usize, TcpStream) -> F + Clone + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let mut index = 0;
        let addresses = ports.map(|port| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
            let listener = runtime.block_on(listener).unwrap();
            let address = listener.local_addr().unwrap();
            runtime.spawn(accept(listener, index, serve.clone()));
            index += 1;
            address
        });
        Self {
            addresses,
            runtime: Some(runtime),
        }
    }
}

async fn accept<F>(listener: TcpListener, index: usize, serve: impl Fn(usize, TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    while let Ok((tcp, _)) = listener.accept().await {
        _ = tcp.set_nodelay(true);
        tokio::spawn(serve(index, tcp));
    }
}

impl<const PORTS: usize> Drop for Server<PORTS> {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
