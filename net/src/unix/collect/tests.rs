//! Random programs between the steps of the collector, against a model of who can receive what.

#[path = "../../../tests/common/mod.rs"]
mod common;

use super::{Progress, Stage};
use crate::unix::{Domain, How, Kind, OpenSocket, Passenger};
use common::{File, counted, credentials, domain, nothing, receive_with, send_with};
use executor::sim::{Simulation, random};
use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    vec::Vec,
};

/// What the model knows of a socket.
#[derive(Default)]
struct Known {
    /// The sockets in its messages, oldest first.
    queue: VecDeque<Vec<u64>>,
    /// Connections that wait in it.
    pending: VecDeque<u64>,
    peer: u64,
    /// Whether it has been accepted, or never had to be.
    has_file: bool,
    listens: bool,
}

/// A domain, what programs have open, and the model.
struct World {
    domain: &'static Domain,
    open: BTreeMap<u64, Arc<File>>,
    known: BTreeMap<u64, Known>,
    files: Arc<AtomicUsize>,
    is_collecting: bool,
    rounds: usize,
}

/// An element at random.
fn pick<T>(mut from: impl ExactSizeIterator<Item = T>) -> Option<T> {
    let len = from.len() as u64;
    if len == 0 { None } else { from.nth(random(len) as usize) }
}

impl World {
    fn new() -> Self {
        World {
            domain: domain(),
            open: BTreeMap::new(),
            known: BTreeMap::new(),
            files: Arc::default(),
            is_collecting: false,
            rounds: 0,
        }
    }

    fn open(&mut self, socket: OpenSocket) {
        self.known.entry(socket.number).or_default().has_file = true;
        self.open.insert(socket.number, counted(socket, &self.files));
    }

    fn pick(&self) -> Option<Arc<File>> {
        pick(self.open.values()).cloned()
    }

    /// The sockets that somebody may still receive or has.
    fn reachable(&self) -> BTreeSet<u64> {
        let mut grey: Vec<u64> = self.open.keys().copied().collect();
        let mut found: BTreeSet<u64> = grey.iter().copied().collect();
        while let Some(number) = grey.pop() {
            let known = &self.known[&number];
            let waiting = known.pending.iter().flat_map(|connection| &self.known[connection].queue);
            for &held in known.queue.iter().chain(waiting).flatten() {
                if found.insert(held) {
                    grey.push(held);
                }
            }
        }
        found
    }

    fn make_pair(&mut self) {
        let (a, b) = OpenSocket::pair(self.domain, Kind::Stream, credentials(1));
        for (one, other) in [(&a, &b), (&b, &a)] {
            self.known.entry(one.number).or_default().peer = other.number;
        }
        self.open(a);
        self.open(b);
    }

    fn make_listener(&mut self) {
        let listener = OpenSocket::new(self.domain, Kind::Stream);
        listener.bind_abstract(&[&[0], &listener.number.to_ne_bytes()[..]].concat()).unwrap();
        listener.listen(5, credentials(1)).unwrap();
        self.known.entry(listener.number).or_default().listens = true;
        self.open(listener);
    }

    fn connect(&mut self) {
        let listeners: Vec<u64> = self.open.keys().copied().filter(|it| self.known[it].listens).collect();
        let Some(listener) = pick(listeners.into_iter()) else { return };
        let client = OpenSocket::new(self.domain, Kind::Stream);
        let door = self.open[&listener].socket.clone();
        if client.try_connect(&door, credentials(1)).is_err() {
            return;
        }
        let other = client.peer().unwrap().number;
        self.known.entry(other).or_default().peer = client.number;
        self.known.entry(client.number).or_default().peer = other;
        self.known.entry(listener).or_default().pending.push_back(other);
        self.open(client);
    }

    fn accept(&mut self) {
        let Some(file) = self.pick() else { return };
        let Ok(accepted) = file.socket.try_accept() else { return };
        let expected = self.known.get_mut(&file.socket.number).unwrap().pending.pop_front();
        assert_eq!(expected, Some(accepted.number));
        self.open(accepted);
    }

    fn send(&mut self) {
        let Some(file) = self.pick() else { return };
        let peer = self.known[&file.socket.number].peer;
        let passengers: Vec<_> = (0..1 + random(2)).filter_map(|_| self.pick()).collect();
        let mut cargo = nothing();
        cargo.rights = Some(common::rights(&passengers.iter().collect::<Vec<_>>(), u64::MAX));
        if send_with(&file.socket, b"f", &mut cargo).is_ok() {
            let sent = passengers.iter().map(|file| file.socket.number).collect();
            self.known.get_mut(&peer).unwrap().queue.push_back(sent);
        } else if let Some(known) = self.known.get(&peer).filter(|known| known.has_file) {
            // It has been closed, or never was a peer.
            assert!(known.queue.len() > 200 || !self.reachable().contains(&peer), "{peer} is closed");
        }
    }

    fn receive(&mut self, peek: bool) {
        let Some(file) = self.pick() else { return };
        let Ok((_, delivery)) = receive_with(&file.socket, 1, How { peek, name: false }) else { return };
        let queue = &mut self.known.get_mut(&file.socket.number).unwrap().queue;
        let expected = if peek { queue.front().cloned() } else { queue.pop_front() };
        let came = delivery.files.map(|files| files.into_iter().map(|file| self.take(file)).collect());
        assert_eq!(came, expected, "of {}", file.socket.number);
    }

    /// A program has got this file.
    fn take(&mut self, file: Arc<dyn Passenger>) -> u64 {
        let file: Arc<dyn Any + Send + Sync> = file;
        let file = file.downcast::<File>().unwrap();
        assert!(file.socket.is_open());
        let number = file.socket.number;
        self.open.insert(number, file);
        number
    }

    /// A step of the collector, and of those who take apart.
    fn step(&mut self, step: usize) {
        if !self.is_collecting {
            self.domain.flight.lock().begin_collection();
            self.is_collecting = true;
        }
        let progress = self.domain.flight.lock().collect_some(step);
        match progress {
            Progress::More => {}
            Progress::Lost(lost) => self.domain.dismiss_all(lost),
            Progress::Done | Progress::Abandoned => {
                self.is_collecting = false;
                self.rounds += 1;
            }
        }
    }

    /// Collects all there is.
    fn settle(&mut self) {
        // The one that is under way, and one for what came up meanwhile; what that closes may have hidden more.
        let end = self.rounds + 4;
        while self.rounds < end {
            self.step(100);
            while self.domain.take_one_apart() {}
        }
        let reachable = self.reachable();
        let known = &self.known;
        let files = reachable.iter().filter(|number| known[number].has_file).count();
        assert_eq!(self.files.load(SeqCst), files, "files that are left, and that somebody can reach");
        assert_eq!(
            self.domain.flight.lock().collection.grey.capacity(),
            0,
            "a collector at rest keeps nothing"
        );
    }
}

/// Programs that do something at random between small steps of the collector.
#[test]
fn what_can_be_received_is_kept_and_the_rest_is_dropped() {
    for seed in 0..400 {
        Simulation::new(seed, 1).run(async move {
            let mut world = World::new();
            for turn in 0..800 {
                match random(16) {
                    0 if world.open.len() < 20 => world.make_pair(),
                    1 if world.open.len() < 20 => world.make_listener(),
                    2 => world.connect(),
                    3 => world.accept(),
                    4..=6 => world.send(),
                    7 | 8 => world.receive(false),
                    9 => world.receive(true),
                    10 | 11 => {
                        let file = world.pick();
                        file.map(|file| world.open.remove(&file.socket.number));
                    }
                    12 => world.domain.begin_work(),
                    13 => drop(world.domain.take_one_apart()),
                    _ => world.step(1 + random(3) as usize),
                }
                if turn % 200 == 199 {
                    world.settle();
                }
            }
            world.open.clear();
            world.settle();
            assert_eq!(world.files.load(SeqCst), 0);
            let flight = world.domain.flight.lock();
            assert!(flight.sockets.is_empty() && flight.rights.is_empty());
        });
    }
}

/// Runs a collection until what suspects hold has been counted, then what a program does, then the rest.
fn collect_around(domain: &Domain, meanwhile: impl FnOnce()) {
    domain.flight.lock().begin_collection();
    while !matches!(domain.flight.lock().collection.stage, Stage::Judging(_)) {
        domain.flight.lock().collect_some(1);
    }
    meanwhile();
    loop {
        let progress = domain.flight.lock().collect_some(1);
        match progress {
            Progress::More => {}
            Progress::Lost(lost) => domain.dismiss_all(lost),
            Progress::Done | Progress::Abandoned => return,
        }
    }
}

/// The file that comes with the next message.
fn receive_file(from: &Arc<File>, peek: bool) -> Arc<File> {
    let (_, delivery) = receive_with(&from.socket, 1, How { peek, name: false }).unwrap();
    let file: Arc<dyn Any + Send + Sync> = delivery.files.expect("files in the message").pop().unwrap();
    file.downcast().unwrap()
}

/// A socket with a file in its queue, and who counts them.
fn laden(domain: &'static Domain, files: &Arc<AtomicUsize>) -> Arc<File> {
    let (one, other) = common::stream(domain);
    let one = counted(one, files);
    common::pass(&other, &counted(common::dgram(domain), files));
    one
}

#[test]
fn what_is_peeked_at_stays_when_its_message_goes() {
    let (domain, files) = (domain(), Arc::default());
    let (near, far) = common::stream(domain);
    let near = counted(near, &files);
    {
        let (holder, sender) = common::stream(domain);
        common::pass(&sender, &laden(domain, &files));
        common::pass(&far, &counted(holder, &files));
    }
    let mut peeked = None;
    collect_around(domain, || {
        let holder = receive_file(&near, false);
        peeked = Some(receive_file(&holder, true));
        // The message with the other reference is out of its queue, but not yet taken apart.
        domain.begin_work();
    });
    receive_file(&peeked.unwrap(), false);
}

#[test]
fn what_waits_in_a_connection_stays_when_that_is_accepted() {
    let (domain, files) = (domain(), Arc::default());
    let (near, far) = common::stream(domain);
    let near = counted(near, &files);
    let client = OpenSocket::new(domain, Kind::Stream);
    {
        let listener = OpenSocket::new(domain, Kind::Stream);
        listener.bind_abstract(b"\0door").unwrap();
        listener.listen(1, credentials(1)).unwrap();
        assert!(client.try_connect(&listener, credentials(1)).is_ok());
        common::pass(&far, &counted(listener, &files));
    }
    common::pass(&client, &laden(domain, &files));
    let mut accepted = None;
    collect_around(domain, || {
        let listener = receive_file(&near, false);
        accepted = listener.socket.try_accept().ok();
    });
    let accepted = counted(accepted.unwrap(), &files);
    receive_file(&receive_file(&accepted, false), false);
}
