//! Unix-domain sockets: order, borders of messages, ends, names, rights and events.

mod common;

use common::{
    credentials, dgram, domain, error, receive, receive_with, rights, send, send_to, send_with, stream,
};
use executor::sync::Events;
use net::unix::{BUFFER_DEFAULT, How, Kind, Obstacle, OpenSocket};
use std::sync::atomic::Ordering::Relaxed;
use syscalls::Errno;

const IN: Events = Events::IN.union(Events::RDNORM);
const OUT: Events = Events::OUT.union(Events::WRNORM).union(Events::WRBAND);

#[test]
fn a_stream_forgets_where_messages_end() {
    let (a, b) = stream(domain());
    assert_eq!(error(receive(&b, 10)), Errno::EAGAIN);
    assert_eq!(send(&a, b"hel").unwrap(), 3);
    assert_eq!(send(&a, b"lo world").unwrap(), 8);
    assert_eq!(b.unread().unwrap(), 11);
    assert_eq!(receive(&b, 5).unwrap(), b"hello");
    assert_eq!(b.events(), IN | OUT);
    assert_eq!(receive(&b, 100).unwrap(), b" world");
    assert_eq!(b.events(), OUT);
    assert_eq!(send(&a, b"").unwrap(), 0);
    assert_eq!(b.unread().unwrap(), 0);
}

#[test]
fn the_send_buffer_bounds_what_is_under_way() {
    let (a, b) = stream(domain());
    let mut sent = 0;
    while let Ok(count) = send(&a, &[7; 1000]) {
        sent += count;
    }
    assert!((90_000..BUFFER_DEFAULT).contains(&sent), "{sent}");
    assert_eq!(a.events(), Events::empty());
    assert_eq!(b.events(), IN | OUT);
    // Writable again when a quarter is under way.
    receive(&b, sent / 2).unwrap();
    assert_eq!(a.events(), Events::empty());
    assert_eq!(send(&a, b"x").unwrap(), 1);
    receive(&b, sent / 2 + 1).unwrap();
    assert_eq!(a.events(), OUT);
    assert_eq!(a.unread_by_others(), 0);
    // As many as on Linux.
    let count = (0..).take_while(|_| send(&a, b"x").is_ok()).count();
    assert_eq!(count, 278);
}

#[test]
fn closing_ends_the_other_side() {
    let (a, b) = stream(domain());
    send(&a, b"last").unwrap();
    drop(a);
    assert_eq!(b.events(), IN | OUT | Events::HUP | Events::RDHUP);
    assert_eq!(receive(&b, 10).unwrap(), b"last");
    assert_eq!(receive(&b, 10).unwrap(), b"");
    assert!(matches!(send_with(&b, b"x", &mut common::nothing()), Err(Obstacle::Broken)));
    // What was not read is missed by who sent it.
    let (a, b) = stream(domain());
    send(&a, b"unread").unwrap();
    drop(b);
    assert_eq!(a.events(), IN | OUT | Events::HUP | Events::RDHUP | Events::ERR);
    assert_eq!(error(receive(&a, 1)), Errno::ECONNRESET);
    assert_eq!(receive(&a, 1).unwrap(), b"");
    assert_eq!(a.unread_by_others(), 0);
}

#[test]
fn shutting_down_is_half_of_closing() {
    let (a, b) = stream(domain());
    a.shut_down(false, true);
    assert_eq!(a.events(), OUT);
    assert_eq!(b.events(), IN | OUT | Events::RDHUP);
    assert_eq!(receive(&b, 1).unwrap(), b"");
    send(&b, b"back").unwrap();
    assert_eq!(receive(&a, 9).unwrap(), b"back");
    b.shut_down(false, true);
    assert_eq!(a.events(), IN | OUT | Events::RDHUP | Events::HUP);
}

#[test]
fn messages_keep_their_borders() {
    for kind in [Kind::Datagram, Kind::Sequenced] {
        let (a, b) = OpenSocket::pair(domain(), kind, credentials(1));
        send(&a, b"first").unwrap();
        send(&a, b"").unwrap();
        send(&a, &[3; 10_000]).unwrap();
        assert_eq!(receive(&b, 3).unwrap(), b"fir");
        assert_eq!(receive(&b, 3).unwrap(), b"");
        let (bytes, delivery) = receive_with(&b, 9000, How { peek: true, name: false }).unwrap();
        assert_eq!((bytes.len(), delivery.len, delivery.truncated), (9000, 10_000, true));
        let (bytes, delivery) = receive_with(&b, 20_000, How::default()).unwrap();
        assert_eq!((bytes, delivery.truncated), (vec![3; 10_000], false));
        assert_eq!(error(send(&a, &[0; BUFFER_DEFAULT])), Errno::EMSGSIZE);
    }
}

#[test]
fn datagrams_go_to_whom_they_are_sent() {
    let domain = domain();
    let (server, client, other) = (dgram(domain), dgram(domain), dgram(domain));
    server.bind_abstract(b"\0server").unwrap();
    client.autobind().unwrap();
    assert_eq!(client.name().unwrap().bytes().len(), 6);
    assert_eq!(error(send(&client, b"nobody")), Errno::ENOTCONN);
    let found = domain.find(Kind::Datagram, b"\0server").unwrap();
    assert!(domain.find(Kind::Stream, b"\0server").is_none());
    send_to(&client, &found, b"hello").unwrap();
    let (bytes, delivery) = receive_with(&server, 10, How { peek: false, name: true }).unwrap();
    assert_eq!(bytes, b"hello");
    assert_eq!(delivery.sender.unwrap().name(), client.name());
    // One that is connected receives from its peer alone.
    server.connect_datagrams(Some(client.clone())).unwrap();
    assert_eq!(error(send_to(&other, &found, b"x")), Errno::EPERM);
    assert_eq!(error(other.connect_datagrams(Some(found.clone()))), Errno::EPERM);
    client.connect_datagrams(Some(found.clone())).unwrap();
    drop(server);
    assert!(domain.find(Kind::Datagram, b"\0server").is_none());
    assert_eq!(error(send(&client, b"x")), Errno::ECONNREFUSED);
    assert_eq!(error(send(&client, b"x")), Errno::ENOTCONN);
}

#[test]
fn a_full_queue_keeps_others_waiting() {
    let domain = domain();
    let (server, client) = (dgram(domain), dgram(domain));
    client.connect_datagrams(Some(server.clone())).unwrap();
    let count = (0..).take_while(|_| send(&client, b"x").is_ok()).count();
    assert_eq!(count, 11);
    assert!(matches!(send_with(&client, b"x", &mut common::nothing()), Err(Obstacle::Crowded(_))));
    // Who is told so waits for an edge, perhaps without a look at the events.
    assert!(!client.readiness().events().contains(Events::OUT));
    assert_eq!(client.events(), Events::empty());
    assert_eq!(server.room().events(), Events::empty());
    receive(&server, 1).unwrap();
    assert!(client.readiness().events().contains(Events::OUT));
    assert_eq!(server.room().events(), Events::OUT);
    assert_eq!(client.events(), OUT);
    // Who is gone keeps nobody waiting.
    send(&client, b"x").unwrap();
    assert_eq!(client.events(), Events::empty());
    drop(server);
    assert_eq!(client.events(), OUT);
}

#[test]
fn listeners_take_as_many_as_they_said() {
    let domain = domain();
    let new = || OpenSocket::new(domain, Kind::Stream);
    let listener = new();
    assert_eq!(error(listener.listen(1, credentials(1))), Errno::EINVAL);
    listener.bind_abstract(b"\0name").unwrap();
    assert_eq!(error(new().bind_abstract(b"\0name")), Errno::EADDRINUSE);
    assert_eq!(error(new().try_connect(&listener, credentials(2))), Errno::ECONNREFUSED);
    assert_eq!(listener.events(), OUT | Events::HUP);
    listener.listen(1, credentials(1)).unwrap();
    assert_eq!(listener.events(), Events::empty());
    let clients = [new(), new(), new()];
    assert!(clients[0].try_connect(&listener, credentials(2)).is_ok());
    assert!(clients[1].try_connect(&listener, credentials(2)).is_ok());
    assert!(matches!(clients[2].try_connect(&listener, credentials(2)), Err(Obstacle::Crowded(_))));
    assert_eq!(error(clients[0].try_connect(&listener, credentials(2))), Errno::EAGAIN);
    assert_eq!(clients[0].peer_credentials(), Some(credentials(1)));
    // What is sent before the connection is accepted is there then.
    send(&clients[0], b"early").unwrap();
    let accepted = listener.try_accept().map_err(|_| "none").unwrap();
    assert_eq!(accepted.peer_credentials(), Some(credentials(2)));
    assert_eq!(accepted.name(), listener.name());
    assert_eq!(receive(&accepted, 10).unwrap(), b"early");
    assert!(clients[2].try_connect(&listener, credentials(2)).is_ok());
    assert_eq!(error(clients[2].try_connect(&listener, credentials(2))), Errno::EAGAIN);
    // Those that wait when it closes are turned away.
    drop(listener);
    assert_eq!(error(receive(&clients[1], 1)), Errno::ECONNRESET);
    assert_eq!(clients[2].take_error(), Some(Errno::ECONNRESET));
    assert_eq!(clients[2].take_error(), None);
    assert!(domain.find(Kind::Stream, b"\0name").is_none());
}

#[test]
fn peeking_leaves_everything_there() {
    let (a, b) = stream(domain());
    send(&a, b"one").unwrap();
    send(&a, b"two").unwrap();
    let peek = How { peek: true, name: false };
    for _ in 0..2 {
        assert_eq!(receive_with(&b, 5, peek).unwrap().0, b"onetw");
    }
    b.peek_offset.store(1, Relaxed);
    assert_eq!(receive_with(&b, 3, peek).unwrap().0, b"net");
    assert_eq!(receive_with(&b, 9, peek).unwrap().0, b"wo");
    assert_eq!(error(receive_with(&b, 9, peek).map(|received| received.0)), Errno::EAGAIN);
    assert_eq!(receive(&b, 4).unwrap(), b"onet");
    assert_eq!(b.peek_offset.load(Relaxed), 2);
    assert_eq!(receive(&b, 4).unwrap(), b"wo");
}

#[test]
fn rights_and_senders_divide_a_stream() {
    let domain = domain();
    let (a, b) = stream(domain);
    let (file, _) = common::file(domain);
    send(&a, b"before").unwrap();
    let mut cargo = common::nothing();
    cargo.rights = Some(rights(&[&file], u64::MAX));
    assert_eq!(send_with(&a, b"with", &mut cargo).map_err(|_| ()), Ok(4));
    send(&a, b"after").unwrap();
    // Peeked at, they are copied.
    let (bytes, delivery) = receive_with(&b, 100, How { peek: true, name: false }).unwrap();
    assert_eq!((&bytes[..], delivery.files.unwrap().len()), (&b"beforewith"[..], 1));
    let (bytes, delivery) = receive_with(&b, 100, How::default()).unwrap();
    assert_eq!((&bytes[..], delivery.files.unwrap().len()), (&b"beforewith"[..], 1));
    assert_eq!(receive(&b, 100).unwrap(), b"after");
    // A socket that tells who sends does not mix them.
    b.passes_credentials.store(true, Relaxed);
    for sender in [1, 1, 2] {
        let mut cargo = common::nothing();
        cargo.sender = credentials(sender);
        let _ = send_with(&a, b"x", &mut cargo);
    }
    let (bytes, delivery) = receive_with(&b, 100, How::default()).unwrap();
    assert_eq!((&bytes[..], delivery.credentials), (&b"xx"[..], Some(credentials(1))));
    let (bytes, delivery) = receive_with(&b, 100, How::default()).unwrap();
    assert_eq!((&bytes[..], delivery.credentials), (&b"x"[..], Some(credentials(2))));
}

#[test]
fn a_user_has_so_many_files_in_flight() {
    let domain = domain();
    let (a, b) = stream(domain);
    let (file, _) = common::file(domain);
    for expected in [Ok(1), Ok(1), Ok(1), Err(Errno::ETOOMANYREFS)] {
        let mut cargo = common::nothing();
        cargo.rights = Some(rights(&[&file], 2));
        let sent = send_with(&a, b"x", &mut cargo).map_err(common::errno);
        assert_eq!(sent, expected);
        assert_eq!(
            cargo.rights.is_some(),
            expected.is_err(),
            "rights that were not sent stay with who sends"
        );
    }
    receive(&b, 1).unwrap();
    let mut cargo = common::nothing();
    cargo.rights = Some(rights(&[&file], 2));
    assert!(send_with(&a, b"x", &mut cargo).is_ok());
}
