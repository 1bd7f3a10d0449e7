//! The generator against servers in this process: a real one, and one that can be made to lose messages.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::example::{Example, Shape};
use super::room::{Pace, Room};
use super::*;
use crate::protocol::nats::Nats;
use crate::protocol::number::TEXT;
use crate::servers::tonic;

/// Sends until so many messages have arrived, and then waits for the others.
fn run(load: &mut impl Load, messages: u64) {
    let deadline = Instant::now() + PATIENCE;
    while load.arrived() < messages {
        assert!(Instant::now() < deadline, "{} messages have arrived", load.arrived());
        load.step(true, deadline).unwrap();
    }
    run_until(load, "everything", Load::is_complete).unwrap();
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[test]
fn a_real_server_replies_to_every_message_in_order() {
    let (listener, address) = listen();
    thread::spawn(|| tonic::serve_on(listener));
    for (connections, streams, in_flight) in [(1, 1, 1), (2, 3, 128), (1, 64, 1)] {
        let mut load = Example::open(address, Shape { connections, streams, in_flight }).unwrap();
        run(&mut load, 2_000);
        assert_eq!(load.take_latencies().is_empty(), streams > 1);
    }
}

#[test]
fn everybody_in_a_room_receives_every_message() {
    for pace in [Pace::InFlight(8), Pace::PerSecond(500)] {
        let mut room = Room::<Nats>::open(double(None), "room", 3, pace).unwrap();
        run(&mut room, 60);
        assert!(room.arrived().is_multiple_of(3), "{}", room.arrived());
    }
}

#[test]
fn a_lost_message_is_an_error() {
    let mut room = Room::<Nats>::open(double(Some(20)), "room", 3, Pace::InFlight(8)).unwrap();
    let error = run_for(&mut room, PATIENCE).unwrap_err();
    assert_eq!(error.to_string(), "message 20 was lost, repeated or overtaken: `00000021` arrived");
}

/// Starts a double of NATS with one subject, which passes on all messages but one to receivers. Returns its address.
fn double(lost: Option<usize>) -> SocketAddr {
    let (listener, address) = listen();
    thread::spawn(move || {
        let receivers = Arc::new(Mutex::new(Vec::new()));
        for socket in listener.incoming() {
            let (socket, receivers) = (socket.unwrap(), Arc::clone(&receivers));
            thread::spawn(move || serve(&socket, &receivers, lost));
        }
    });
    address
}

/// Serves a connection until it is closed.
fn serve(mut socket: &TcpStream, receivers: &Mutex<Vec<TcpStream>>, lost: Option<usize>) -> io::Result<()> {
    let mut lines = BufReader::new(socket).lines();
    let mut published = 0;
    while let Some(line) = lines.next().transpose()? {
        match line.split(' ').next() {
            Some("SUB") => receivers.lock().unwrap().push(socket.try_clone()?),
            Some("PING") => socket.write_all(b"PONG\r\n")?,
            Some("PUB") => {
                let text = lines.next().transpose()?.unwrap_or_default();
                for mut receiver in receivers.lock().unwrap().iter().filter(|_| lost != Some(published)) {
                    receiver.write_all(format!("MSG room 1 {TEXT}\r\n{text}\r\n").as_bytes())?;
                }
                published += 1;
            }
            _ => {}
        }
    }
    Ok(())
}
