//! A load generator that costs as little as possible: keep-alive connections that write one prepared request over and over
//! and read answers by their Content-Length.

use anyhow::{Context, Result, bail};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a run measured.
#[derive(Debug, Clone)]
pub struct Load {
    pub requests: u64,
    pub elapsed: Duration,
    pub bytes: u64,
}

impl Load {
    pub fn per_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }
}

/// Sends `request` over `connections` connections for `time`, after one answer each as a warm-up.
pub async fn run(address: &str, request: &[u8], connections: usize, time: Duration) -> Result<Load> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        let mut connection = Connection::open(address).await?;
        connection.exchange(request).await?;
        clients.push(connection);
    }
    let began = now();
    let deadline = began + time;
    let mut tasks = Vec::new();
    for mut client in clients {
        let request = request.to_vec();
        tasks.push(tokio::spawn(async move {
            let (mut requests, mut bytes) = (0_u64, 0_u64);
            while now() < deadline {
                bytes += client.exchange(&request).await?;
                requests += 1;
            }
            anyhow::Ok((requests, bytes))
        }));
    }
    let (mut requests, mut bytes) = (0, 0);
    for task in tasks {
        let (more_requests, more_bytes) = task.await??;
        requests += more_requests;
        bytes += more_bytes;
    }
    Ok(Load {
        requests,
        elapsed: began.elapsed(),
        bytes,
    })
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// One keep-alive connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("no connection to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: vec![0; 256 * 1024],
        })
    }

    /// Sends a request and reads its answer, which must be a success; gives the length of the body.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<u64> {
        let (status, _, length) = self.send(request, false).await?;
        if status != 200 {
            bail!("answered {status}");
        }
        Ok(length)
    }

    /// Sends a request and gives status and body of the answer.
    pub async fn fetch(&mut self, request: &[u8]) -> Result<(u16, Vec<u8>)> {
        let (status, body, _) = self.send(request, true).await?;
        Ok((status, body))
    }

    async fn send(&mut self, request: &[u8], keep: bool) -> Result<(u16, Vec<u8>, u64)> {
        self.stream.write_all(request).await?;
        let mut filled = 0;
        let head = loop {
            if let Some(at) = self.buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            if read == 0 {
                bail!("the server closed the connection");
            }
            filled += read;
        };
        let text = String::from_utf8_lossy(&self.buffer[..head]).to_ascii_lowercase();
        let status = text
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .context("an answer without a status")?;
        let length: u64 = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
            .context("an answer without Content-Length")?;
        let mut body = Vec::new();
        if keep {
            body.extend_from_slice(&self.buffer[head..filled]);
        }
        let mut left = length - (filled - head) as u64;
        while left > 0 {
            let read = self.stream.read(&mut self.buffer).await?;
            if read == 0 {
                bail!("the server closed the connection within a body");
            }
            if keep {
                body.extend_from_slice(&self.buffer[..read]);
            }
            left -= read as u64;
        }
        Ok((status, body, length))
    }
}

/// A request as it goes over the wire, with a token instead of a signature where one is given.
pub fn request(method: &str, target: &str, token: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "{method} {target} HTTP/1.1\r\nhost: 127.0.0.1\r\nx-auth-token: {token}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}
