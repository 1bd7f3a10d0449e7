//! The first bytes of a connection: which protocol the peer speaks.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What every HTTP/2 connection starts with (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The response to an HTTP/1.1 request, such as a browser's.
const WRONG_VERSION: &[u8] = b"HTTP/1.1 505 HTTP Version Not Supported\r\n\
content-type: text/plain\r\nconnection: close\r\ncontent-length: 76\r\n\r\n\
This port speaks gRPC over HTTP/2. Call it with a gRPC client, or grpcurl.\r\n";

/// The protocol a peer speaks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opening {
    Http2,
    Http1,
    Tls,
    Other,
}

/// Reads as many bytes as it takes to tell the protocol, and never more than the HTTP/2 preface.
pub(super) async fn read(socket: &mut (impl AsyncRead + Unpin)) -> io::Result<Opening> {
    let mut opening = [0; PREFACE.len()];
    let mut filled = 0;
    while filled < opening.len() {
        let more = socket.read(&mut opening[filled..]).await?;
        if more == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += more;
        let so_far = &opening[..filled];
        if !PREFACE.starts_with(so_far) {
            return Ok(match so_far {
                [0x16, ..] => Opening::Tls,
                // Every HTTP/1 method is written in capitals.
                [b'A'..=b'Z', ..] => Opening::Http1,
                _ => Opening::Other,
            });
        }
    }
    Ok(Opening::Http2)
}

/// Replies to an HTTP/1.1 request with status 505 and an explanation, then closes the connection.
pub(super) async fn reject_http1(socket: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    socket.write_all(WRONG_VERSION).await?;
    socket.shutdown().await?;
    // Closing with unread bytes would reset the connection, and the explanation would be lost with it.
    let mut rest = [0; 4096];
    let mut reads = 0;
    while reads < 16 && socket.read(&mut rest).await? > 0 {
        reads += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn opening(bytes: &[u8]) -> io::Result<Opening> {
        read(&mut &bytes[..]).await
    }

    #[tokio::test]
    async fn the_first_bytes_tell_the_protocol() {
        assert_eq!(opening(PREFACE).await.unwrap(), Opening::Http2);
        for http1 in ["GET / HTTP/1.1\r\n", "POST /Chat/chat HTTP/1.1\r\n", "PRI * HTTP/1.1", "PUT /"] {
            assert_eq!(opening(http1.as_bytes()).await.unwrap(), Opening::Http1, "{http1}");
        }
        assert_eq!(opening(&[0x16, 3, 1, 2, 0]).await.unwrap(), Opening::Tls);
        assert_eq!(opening(&[0, 0]).await.unwrap(), Opening::Other);
        for short in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
            assert_eq!(opening(short).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn the_explanation_has_the_content_length_it_declares() {
        let text = std::str::from_utf8(WRONG_VERSION).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
    }
}
