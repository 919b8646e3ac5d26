//! Receiving that stops in the middle, as where a page of a program's memory is missing, and goes on when others may have been
//! there.

mod common;

use common::{dgram, domain, receive, send, send_to, stream};
use net::unix::{Call, Delivery, How, Obstacle, Socket};
use net::{Room, Sink};
use std::sync::Arc;

/// Room that takes so much, and then stops until it is told to go on.
struct Stopping<'a> {
    room: Room<'a>,
    before: usize,
}

impl Sink for Stopping<'_> {
    fn put(&mut self, data: &[u8]) -> bool {
        if data.len() > self.before {
            return false;
        }
        self.before -= data.len();
        self.room.put(data)
    }

    fn remaining(&self) -> usize {
        self.room.remaining()
    }

    fn take_back(&mut self, len: usize) {
        self.room.take_back(len);
    }
}

/// A call that receives, has stopped after so many bytes, and goes on when `meanwhile` has been done; what it has received.
fn stop_after(socket: &Arc<Socket>, before: usize, peek: bool, meanwhile: impl FnOnce()) -> Vec<u8> {
    let mut buffer = [0; 100];
    let mut sink = Stopping { room: Room::from(&mut buffer[..]), before };
    let (mut delivery, mut received) = (Delivery::default(), 0);
    let how = How { peek, ..How::default() };
    let call = Call { number: 1, resumes: false };
    let first = socket.try_receive(&mut sink, how, call, &mut delivery, &mut received);
    assert!(matches!(first, Err(Obstacle::Stopped)));
    assert_eq!(received, if peek { 0 } else { before });
    meanwhile();
    sink.before = usize::MAX;
    let call = Call { resumes: received > 0, ..call };
    let last = socket.try_receive(&mut sink, how, call, &mut delivery, &mut received);
    assert!(matches!(last, Ok(()) | Err(Obstacle::Empty { ended: false })));
    buffer[..received].to_vec()
}

#[test]
fn it_goes_on_where_it_was() {
    let (a, b) = stream(domain());
    for part in [b"one ", b"two ", b"six."] {
        send(&a, part).unwrap();
    }
    assert_eq!(stop_after(&b, 4, false, || {}), b"one two six.");
    assert_eq!(b.unread().unwrap(), 0);
}

#[test]
fn what_one_call_receives_follows_each_other_in_the_stream() {
    let (a, b) = stream(domain());
    for part in [b"one ", b"two ", b"six."] {
        send(&a, part).unwrap();
    }
    let first = stop_after(&b, 4, false, || assert_eq!(receive(&b, 4).unwrap(), b"two "));
    assert_eq!(first, b"one ");
    assert_eq!(receive(&b, 100).unwrap(), b"six.");
    // Also if the other has read only a part of the message, or has stopped himself.
    for part in [b"one ", b"two ", b"six."] {
        send(&a, part).unwrap();
    }
    assert_eq!(stop_after(&b, 4, false, || assert_eq!(receive(&b, 1).unwrap(), b"t")), b"one ");
    assert_eq!(receive(&b, 100).unwrap(), b"wo six.");
}

#[test]
fn nothing_received_is_no_reason_to_end() {
    let (a, b) = stream(domain());
    send(&a, b"one ").unwrap();
    send(&a, b"two ").unwrap();
    assert_eq!(stop_after(&b, 0, false, || assert_eq!(receive(&b, 4).unwrap(), b"one ")), b"two ");
}

#[test]
fn a_peek_that_stops_begins_again() {
    let (a, b) = stream(domain());
    for part in [b"one ", b"two ", b"six."] {
        send(&a, part).unwrap();
    }
    assert_eq!(stop_after(&b, 4, true, || {}), b"one two six.");
    assert_eq!(stop_after(&b, 8, true, || assert_eq!(receive(&b, 4).unwrap(), b"one ")), b"two six.");
    // It has not moved the next one's beginning either.
    b.peek_offset.store(1, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(stop_after(&b, 3, true, || {}), b"wo six.");
}

#[test]
fn a_message_is_thrown_away_by_who_has_stopped_in_it_alone() {
    let domain = domain();
    let (from, to) = (dgram(domain), dgram(domain));
    let [first, second] = [1, 2].map(|number| Call { number, resumes: false });
    let stop = |call| {
        let mut buffer = [0; 100];
        let mut sink = Stopping { room: Room::from(&mut buffer[..]), before: 0 };
        let stopped = to.try_receive(&mut sink, How::default(), call, &mut Delivery::default(), &mut 0);
        assert!(matches!(stopped, Err(Obstacle::Stopped)));
    };
    for part in [b"one", b"two", b"six"] {
        send_to(&from, &to, part).unwrap();
    }
    stop(first);
    to.discard(first);
    assert_eq!(to.unread().unwrap(), 3);
    stop(first);
    assert_eq!(receive(&to, 9).unwrap(), b"two");
    to.discard(first);
    stop(second);
    to.discard(first);
    assert_eq!(receive(&to, 9).unwrap(), b"six");
    assert_eq!(from.unread_by_others(), 0);
}
