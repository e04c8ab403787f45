//! A load generator that costs as little as possible: keep-alive connections that write prepared requests and read answers
//! by their Content-Length, all on the thread that calls it.

use crate::stats::{Sample, now};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// What a run measured.
#[derive(Debug, Clone)]
pub struct Load {
    pub requests: u64,
    pub elapsed: Duration,
    /// Seconds.
    pub latencies: Sample,
}

impl Load {
    pub fn per_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }
}

/// When a run ends.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    Elapsed(Duration),
    Requests(u64),
}

/// Makes the request of a number; numbers count from 0 over all clients.
pub type Make = dyn Fn(u64) -> Bytes;

/// Sends requests over `clients` connections, each the next one as soon as the last is answered.
pub fn run(address: SocketAddr, clients: usize, until: Until, make: Rc<Make>) -> Result<Load> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    local.block_on(&runtime, drive(address, clients, until, make))
}

async fn drive(address: SocketAddr, clients: usize, until: Until, make: Rc<Make>) -> Result<Load> {
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(Connection::open(address).await?);
    }
    let next = Rc::new(Cell::new(0));
    let began = now();
    let tasks: Vec<_> = connections
        .into_iter()
        .map(|connection| tokio::task::spawn_local(client(connection, Rc::clone(&next), Rc::clone(&make), began, until)))
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    let elapsed = began.elapsed();
    Ok(Load {
        requests: latencies.len() as u64,
        elapsed,
        latencies: Sample::of(latencies),
    })
}

async fn client(mut connection: Connection, next: Rc<Cell<u64>>, make: Rc<Make>, began: Instant, until: Until) -> Result<Vec<f64>> {
    let mut latencies = Vec::new();
    loop {
        let number = next.get();
        let is_over = match until {
            Until::Elapsed(time) => began.elapsed() >= time,
            Until::Requests(most) => number >= most,
        };
        if is_over {
            return Ok(latencies);
        }
        next.set(number + 1);
        let request = make(number);
        let sent = now();
        connection.exchange(&request).await?;
        latencies.push(sent.elapsed().as_secs_f64());
    }
}

/// One keep-alive connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: vec![0; 256 * 1024],
        })
    }

    /// Sends a request whose answer must be a success, and forgets the answer.
    async fn exchange(&mut self, request: &[u8]) -> Result<()> {
        let status = self.send(request, None).await?;
        if status != 200 {
            bail!("answered {status}");
        }
        Ok(())
    }

    pub async fn fetch(&mut self, request: &[u8]) -> Result<Answer> {
        let mut kept = Kept::default();
        let status = self.send(request, Some(&mut kept)).await?;
        Ok(Answer {
            status,
            head: String::from_utf8(kept.head)?,
            body: kept.body,
        })
    }

    async fn send(&mut self, request: &[u8], mut keep: Option<&mut Kept>) -> Result<u16> {
        self.stream.write_all(request).await?;
        let mut filled = 0;
        let head = loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            if read == 0 {
                bail!("the server closed the connection");
            }
            let from = filled.saturating_sub(3);
            filled += read;
            if let Some(at) = find(&self.buffer[from..filled], b"\r\n\r\n") {
                break from + at + 4;
            }
        };
        let (status, length) = read_head(&self.buffer[..head]).context("an answer that cannot be read")?;
        if let Some(kept) = &mut keep {
            kept.head.extend_from_slice(&self.buffer[..head]);
            kept.body.extend_from_slice(&self.buffer[head..filled]);
        }
        let mut left = length.saturating_sub(filled - head);
        while left > 0 {
            let read = self.stream.read(&mut self.buffer).await?;
            if read == 0 {
                bail!("the server closed the connection within a body");
            }
            if let Some(kept) = &mut keep {
                kept.body.extend_from_slice(&self.buffer[..read]);
            }
            left = left.saturating_sub(read);
        }
        Ok(status)
    }
}

#[derive(Default)]
struct Kept {
    head: Vec<u8>,
    body: Vec<u8>,
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// Status and Content-Length. hyper writes names in lower case.
fn read_head(head: &[u8]) -> Option<(u16, usize)> {
    let status = std::str::from_utf8(head.get(9..12)?).ok()?.parse().ok()?;
    let name = b"\r\ncontent-length: ";
    let value = &head[find(head, name)? + name.len()..];
    let value = &value[..find(value, b"\r\n")?];
    Some((status, std::str::from_utf8(value).ok()?.parse().ok()?))
}

/// One request, by itself.
pub fn fetch(address: SocketAddr, request: &[u8]) -> Result<Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { Connection::open(address).await?.fetch(request).await })
}

/// A request as it goes over the wire; `headers` are whole lines.
pub fn request(method: &str, target: &str, token: &str, headers: &str, body: &str) -> Bytes {
    let length = if body.is_empty() {
        String::new()
    } else {
        format!("content-length: {}\r\n", body.len())
    };
    Bytes::from(format!(
        "{method} {target} HTTP/1.1\r\nhost: 127.0.0.1\r\nx-auth-token: {token}\r\n{headers}{length}\r\n{body}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_length_are_read_from_the_head_of_an_answer() {
        let head = b"HTTP/1.1 404 Not Found\r\netag: \"1\"\r\ncontent-length: 17\r\n\r\n";
        assert_eq!(read_head(head), Some((404, 17)));
        assert_eq!(read_head(b"HTTP/1.1 200 OK\r\n\r\n"), None);
    }
}
