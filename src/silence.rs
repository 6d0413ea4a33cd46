//! What tells either end of a TCP connection that the other's host has fallen silent.

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// The peer's host may be silent for this long before the system closes the connection: it is asked from
/// time to time (keep-alive), and what was sent has to be acknowledged (`TCP_USER_TIMEOUT`, on Linux), so a
/// live peer that reads nothing for that long counts as silent too. Zero: for ever, as the system has it.
pub(crate) fn limit(stream: &TcpStream, silence: Duration) -> io::Result<()> {
    if silence.is_zero() {
        return Ok(());
    }
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&keepalive(silence))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(silence))?;
    Ok(())
}

/// The first probe at half the time, then enough of them that the last one is lost within it. The
/// kernel counts in whole seconds.
fn keepalive(silence: Duration) -> TcpKeepalive {
    const SECOND: Duration = Duration::from_secs(1);
    /// The most that Linux takes.
    const MOST: Duration = Duration::from_secs(32_767);
    let keepalive = TcpKeepalive::new()
        .with_time((silence / 2).clamp(SECOND, MOST))
        .with_interval((silence / 10).clamp(SECOND, MOST));
    #[cfg(not(target_os = "linux"))]
    let keepalive = keepalive.with_retries(5);
    keepalive
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_limit_is_set_and_none_leaves_the_system_alone() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = || TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (limited, free) = (stream(), stream());
        limit(&limited, Duration::from_secs(3)).unwrap();
        limit(&free, Duration::ZERO).unwrap();
        assert!(SockRef::from(&limited).keepalive().unwrap());
        assert!(!SockRef::from(&free).keepalive().unwrap());
        #[cfg(target_os = "linux")]
        {
            let user_timeout = |of| SockRef::from(of).tcp_user_timeout().unwrap();
            assert_eq!(user_timeout(&limited), Some(Duration::from_secs(3)));
            assert_eq!(user_timeout(&free).unwrap_or_default(), Duration::ZERO);
        }
    }
}
