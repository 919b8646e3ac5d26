//! Sockets in the simulator, under many seeds: waits that race, storms of descriptors, cycles.
//!
//! A failure prints its seed; `SEED=n` in the environment runs that seed alone, `SEEDS=n` the first n.

mod common;

use common::{counted, credentials, dgram, domain, error, pass, receive, send, send_to, stream};
use executor::sim::{Simulation, random};
use executor::sync::Events;
use executor::{JoinHandle, JoinSet, sleep, spawn, timeout_after, yield_now};
use net::unix::{Domain, Kind, Obstacle, OpenSocket, Passenger, Rights, SENDING, Socket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use syscalls::Errno;

/// Runs a storm under all seeds, with 1 to 5 CPUs, beside the domain's tasks.
fn seeds<F>(storm: impl Fn(&'static Domain) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let number = |name| Some(std::env::var(name).ok()?.parse().expect("SEED and SEEDS are numbers"));
    let chosen: std::ops::Range<u64> = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(300),
    };
    for seed in chosen {
        let domain = domain();
        let storm = storm(domain);
        Simulation::new(seed, 1 + seed as usize % 5).run(async move {
            let tasks = [spawn(domain.run_departures()), spawn(domain.run_collector())];
            storm.await;
            tasks.iter().for_each(JoinHandle::cancel);
        });
    }
}

async fn send_all(socket: &Arc<Socket>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match common::send_with(socket, bytes, &mut common::nothing()) {
            Ok(count) => bytes = &bytes[count..],
            Err(Obstacle::Full) => drop(socket.readiness().wait(SENDING).await),
            Err(Obstacle::Crowded(other)) => drop(other.room().wait(Events::OUT).await),
            Err(obstacle) => return Err(common::errno(obstacle)),
        }
    }
    Ok(())
}

async fn receive_some(socket: &Arc<Socket>, room: usize) -> Result<Vec<u8>, Errno> {
    loop {
        match receive(socket, room) {
            Err(Errno::EAGAIN) => {}
            result => return result,
        }
        // Now and then give up waiting, and come again.
        let wait = socket.readiness().wait(Events::IN);
        let _ = timeout_after(wait, Duration::from_micros(1 + random(20))).await;
    }
}

/// The byte at a place of a stream.
fn pattern(at: usize) -> u8 {
    ((at * 7) >> 3) as u8
}

#[test]
fn every_byte_arrives_once_and_in_order() {
    seeds(|domain| async move {
        const TOTAL: usize = 300_000;
        let (a, b) = stream(domain);
        let reader = spawn(async move {
            let mut expected = 0;
            loop {
                let bytes = receive_some(&b, 1 + random(9000) as usize).await.unwrap();
                if bytes.is_empty() {
                    return expected;
                }
                for byte in bytes {
                    assert_eq!(byte, pattern(expected), "at {expected}");
                    expected += 1;
                }
            }
        });
        let mut sent = 0;
        while sent < TOTAL {
            let len = (1 + random(20_000) as usize).min(TOTAL - sent);
            let bytes: Vec<u8> = (sent..sent + len).map(pattern).collect();
            send_all(&a, &bytes).await.unwrap();
            sent += len;
        }
        drop(a);
        assert_eq!(reader.await.unwrap(), TOTAL);
    });
}

#[test]
fn who_is_told_of_room_has_it() {
    seeds(|domain| async move {
        const TOTAL: usize = 200_000;
        let (a, b) = stream(domain);
        a.set_send_buffer(0);
        let reader = spawn(async move {
            let mut received = 0;
            while received < TOTAL {
                received += receive_some(&b, 1 + random(5000) as usize).await.unwrap().len();
            }
        });
        let mut sent = 0;
        while sent < TOTAL {
            let bytes = &[0; 4096][..[1, 4096][random(2) as usize].min(TOTAL - sent)];
            if random(2) == 0 {
                sent += send(&a, bytes).unwrap_or(0);
                continue;
            }
            while !a.events().contains(Events::OUT) {
                a.readiness().wait(Events::OUT).await;
            }
            // Nobody else takes the room.
            sent += send(&a, bytes).unwrap();
        }
        reader.await.unwrap();
    });
}

#[test]
fn nobody_who_waits_is_forgotten() {
    seeds(|domain| async move {
        // Many send to one, whose queue is short; some give up, some find it closed.
        let server = dgram(domain);
        let target = server.clone();
        let mut set = JoinSet::new();
        for who in 0..6_u8 {
            let target = target.clone();
            set.spawn(async move {
                let client = dgram(domain);
                client.connect_datagrams(Some(target)).unwrap();
                let mut sent = 0;
                for _ in 0..20 {
                    if random(4) == 0 {
                        // As poll does: the events say that there is room, or somebody will say so.
                        while !client.events().contains(Events::OUT) {
                            client.readiness().wait(Events::OUT).await;
                        }
                    }
                    match send_all(&client, &[who]).await {
                        Ok(()) => sent += 1,
                        Err(errno) => {
                            assert_eq!(errno, Errno::ECONNREFUSED);
                            break;
                        }
                    }
                }
                sent
            });
        }
        let mut received = 0;
        while received < 100 {
            receive_some(&server, 10).await.unwrap();
            received += 1;
            if random(5) == 0 {
                yield_now().await;
            }
        }
        drop(server);
        let sent: usize = set.join_all().await.into_iter().sum();
        assert!((100..=120).contains(&sent), "{sent}");
    });
}

#[test]
fn connections_wait_for_room_and_are_all_accepted() {
    seeds(|domain| async move {
        let listener = OpenSocket::new(domain, Kind::Stream);
        listener.bind_abstract(b"\0door").unwrap();
        listener.listen(1, credentials(1)).unwrap();
        let mut set = JoinSet::new();
        for who in 0..8_u8 {
            set.spawn(async move {
                let client = OpenSocket::new(domain, Kind::Stream);
                loop {
                    let Some(door) = domain.find(Kind::Stream, b"\0door") else { return false };
                    match client.try_connect(&door, credentials(u32::from(who))) {
                        Ok(()) => break,
                        Err(Obstacle::Crowded(door)) => drop(door.room().wait(Events::OUT).await),
                        Err(obstacle) => {
                            assert_eq!(common::errno(obstacle), Errno::ECONNREFUSED);
                            return false;
                        }
                    }
                }
                let _ = send(&client, &[who]);
                matches!(receive_some(&client, 1).await.as_deref(), Ok([answer]) if *answer == who)
            });
        }
        let mut served = 0;
        let end = 3 + random(6);
        while served < end {
            match listener.try_accept() {
                Ok(accepted) => {
                    let question = receive_some(&accepted, 1).await.unwrap();
                    send(&accepted, &question).unwrap();
                    served += 1;
                }
                Err(_) => drop(listener.readiness().wait(Events::IN).await),
            }
        }
        drop(listener);
        let answered = set.join_all().await.into_iter().filter(|answered| *answered).count();
        assert_eq!(answered as u64, end);
    });
}

/// Waits until all files are gone.
async fn gone(count: &Arc<AtomicUsize>) {
    while count.load(SeqCst) > 0 {
        sleep(Duration::from_micros(100)).await;
    }
}

#[test]
fn cycles_of_sockets_are_collected() {
    seeds(|domain| async move {
        let count = Arc::new(AtomicUsize::new(0));
        {
            // A ring of sockets, each in the queue of the next; one in its own; a listener in a connection to itself.
            let ring: Vec<_> = (0..5)
                .map(|_| {
                    let (a, b) = stream(domain);
                    (counted(a, &count), counted(b, &count))
                })
                .collect();
            for (place, (a, _)) in ring.iter().enumerate() {
                let next = &ring[(place + 1) % ring.len()];
                pass(&a.socket, &next.1);
            }
            pass(&ring[0].0.socket, &ring[0].0);
            let listener = counted(OpenSocket::new(domain, Kind::Stream), &count);
            listener.socket.bind_abstract(b"\0itself").unwrap();
            listener.socket.listen(3, credentials(1)).unwrap();
            let client = counted(OpenSocket::new(domain, Kind::Stream), &count);
            assert!(client.socket.try_connect(&listener.socket, credentials(1)).is_ok());
            pass(&client.socket, &listener);
            pass(&client.socket, &client);
        }
        gone(&count).await;
        assert!(domain.find(Kind::Stream, b"\0itself").is_none());
    });
}

#[test]
fn what_can_be_received_is_not_collected() {
    seeds(|domain| async move {
        let count = Arc::new(AtomicUsize::new(0));
        let (a, b) = stream(domain);
        let (outer, inner) = stream(domain);
        let (outer, inner) = (counted(outer, &count), counted(inner, &count));
        let deepest = counted(dgram(domain), &count);
        send_to(&deepest.socket, &deepest.socket, b"kept").unwrap();
        // In each other's queues, but also in one that somebody has open.
        pass(&outer.socket, &deepest);
        pass(&outer.socket, &outer);
        pass(&a, &inner);
        drop((outer, inner, deepest));
        let mut set = JoinSet::new();
        for _ in 0..3 {
            set.spawn(async move {
                for _ in 0..5 {
                    // Each close makes the collector look.
                    drop(stream(domain));
                    sleep(Duration::from_micros(random(30))).await;
                }
            });
        }
        sleep(Duration::from_micros(random(60))).await;
        let (_, delivery) = common::receive_with(&b, 1, net::unix::How::default()).unwrap();
        let inner = delivery.files.as_ref().unwrap()[0].socket().unwrap().clone();
        assert!(inner.is_open());
        let (_, rest) = common::receive_with(&inner, 1, net::unix::How::default()).unwrap();
        let deepest = rest.files.as_ref().unwrap()[0].socket().unwrap().clone();
        assert_eq!(receive(&deepest, 10).unwrap(), b"kept");
        set.join_all().await;
        drop((delivery, rest, a, b));
        gone(&count).await;
        assert!(!inner.is_open());
    });
}

#[test]
fn rights_are_taken_apart_one_by_one() {
    // Deep enough that dropping one inside the other would overflow any stack.
    const DEPTH: usize = 20_000;
    let domain = domain();
    Simulation::new(1, 2).run(async move {
        let task = spawn(domain.run_departures());
        let count = Arc::new(AtomicUsize::new(0));
        let mut inner = counted(dgram(domain), &count);
        for _ in 0..DEPTH {
            let (a, b) = stream(domain);
            pass(&a, &inner);
            // The connection's other end goes, the message stays.
            inner = counted(b, &count);
            drop(a);
        }
        drop(inner);
        gone(&count).await;
        task.cancel();
    });
}

/// A file that is no socket.
struct Plain;

impl Passenger for Plain {
    fn socket(&self) -> Option<&Arc<Socket>> {
        None
    }
}

#[test]
fn a_cycle_is_collected_that_the_last_of_many_rights_held() {
    seeds(|domain| async move {
        let count = Arc::new(AtomicUsize::new(0));
        let (sender, holder) = stream(domain);
        {
            // In its own queue, and the first of those that are taken apart from the last on.
            let (a, b) = stream(domain);
            let a = counted(a, &count);
            pass(&b, &a);
            let mut files: Vec<Arc<dyn Passenger>> = vec![a];
            files.extend((0..200).map(|_| Arc::new(Plain) as Arc<dyn Passenger>));
            let mut cargo = common::nothing();
            cargo.rights = Some(Rights::new(files, 10, u64::MAX));
            assert!(common::send_with(&sender, b"f", &mut cargo).is_ok());
        }
        drop((sender, holder));
        gone(&count).await;
    });
}

#[test]
fn a_storm_of_rights_leaves_nothing_behind() {
    seeds(|domain| async move {
        let count = Arc::new(AtomicUsize::new(0));
        let (a, b) = stream(domain);
        let hub = [counted(a, &count), counted(b, &count)];
        let mut set = JoinSet::new();
        for _ in 0..4 {
            let (hub, count) = (hub.clone(), count.clone());
            set.spawn(async move {
                for _ in 0..20 {
                    let side = random(2) as usize;
                    match random(5) {
                        0 | 1 => {
                            let (one, other) = stream(domain);
                            let (one, other) = (counted(one, &count), counted(other, &count));
                            pass(&one.socket, &other);
                            pass(&other.socket, &one);
                            if random(2) == 0 {
                                pass(&hub[side].socket, &one);
                            }
                        }
                        2 => pass(&hub[side].socket, &hub[random(2) as usize]),
                        3 => drop(receive(&hub[side].socket, 3)),
                        _ => {
                            if let Ok((_, delivery)) =
                                common::receive_with(&hub[side].socket, 1, net::unix::How::default())
                            {
                                yield_now().await;
                                if let Some(socket) =
                                    delivery.files.iter().flatten().find_map(|file| file.socket())
                                {
                                    assert!(socket.is_open());
                                    let _ = receive(socket, 1);
                                }
                            }
                        }
                    }
                    if random(3) == 0 {
                        yield_now().await;
                    }
                }
            });
        }
        set.join_all().await;
        drop(hub);
        // If the hub is in a message, it has not been closed; any socket that is makes the collector look.
        drop(stream(domain));
        gone(&count).await;
    });
}

#[test]
fn a_reader_is_told_of_the_end() {
    seeds(|domain| async move {
        let (a, b) = stream(domain);
        let waiter = spawn(async move {
            let end = receive_some(&b, 1).await;
            (end, b)
        });
        sleep(Duration::from_micros(random(20))).await;
        match random(3) {
            0 => drop(a),
            1 => a.shut_down(false, true),
            _ => a.shut_down(true, true),
        }
        let (end, b) = waiter.await.unwrap();
        assert_eq!(end.unwrap(), b"");
        // A writer, too, who waits for room that will never be.
        let (c, d) = stream(domain);
        while send(&c, &[0; 4000]).is_ok() {}
        let writer = spawn(async move { (send_all(&c, b"more").await, c) });
        sleep(Duration::from_micros(random(20))).await;
        if random(2) == 0 {
            drop(d);
        } else {
            d.shut_down(true, false);
        }
        let (end, _c) = writer.await.unwrap();
        assert!(matches!(error(end), Errno::EPIPE | Errno::ECONNRESET));
        drop(b);
    });
}
