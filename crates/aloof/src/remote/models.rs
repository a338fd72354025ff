//! Models of posting, notifying and collecting, for loom.

use super::inbox::{END, Inbox};
use super::protocol::{Node, RemoteHead, World, collect, post, unlist};
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use loom::sync::Arc;
use loom::thread;

/// One node of two words of one block each, and three heaps.
struct Small {
    head: RemoteHead,
    words: [AtomicU64; 2],
    owner: AtomicU32,
    inboxes: [Inbox; 3],
    /// Set when the node is dissolved; nobody may touch it then.
    dissolved: AtomicU32,
}

const NODE: Node = Node(1);

impl World for Small {
    fn head(&self, _: Node) -> &RemoteHead {
        assert_eq!(
            self.dissolved.load(Ordering::Relaxed),
            0,
            "a dissolved node is touched"
        );
        &self.head
    }
    fn owner(&self, _: Node) -> u32 {
        self.owner.load(Ordering::Acquire)
    }
    fn inbox(&self, heap: u32) -> &Inbox {
        &self.inboxes[heap as usize]
    }
}

impl Small {
    fn new(owner: u32) -> Arc<Small> {
        Arc::new(Small {
            head: RemoteHead::new(),
            words: [AtomicU64::new(0), AtomicU64::new(0)],
            owner: AtomicU32::new(owner),
            inboxes: [Inbox::new(), Inbox::new(), Inbox::new()],
            dissolved: AtomicU32::new(0),
        })
    }

    fn free(&self, word: usize) {
        assert_eq!(post(self, NODE, &self.words, word, 1), 0);
    }

    fn take(&self) -> u32 {
        collect(&self.head, &self.words, |_, _| ())
    }

    /// The owner looks into its inbox; returns blocks collected.
    fn drain(&self, me: u32) -> u32 {
        let mut got = 0;
        unlist(self, me, self.inboxes[me as usize].take_all(), |_| {
            got += self.take()
        });
        got
    }

    /// The owner reads its inbox no more, and unlists what is in it.
    fn close(&self, me: u32) {
        let first = self.inboxes[me as usize].close();
        unlist(self, me, first, |_| ());
    }

    /// The owner ends; returns blocks collected.
    fn exit(&self, me: u32) -> u32 {
        self.close(me);
        let got = self.take();
        self.owner.store(0, Ordering::Release);
        got
    }

    fn adopt(&self, me: u32) -> u32 {
        self.owner.store(me, Ordering::Release);
        self.take()
    }

    /// At rest, all posts reach `owner` by its inbox alone, after which the node is quiet.
    fn at_rest(&self, owner: u32, collected: u32) {
        let got = collected + self.drain(owner);
        assert_eq!(got, 2, "a post is lost");
        assert!(self.head.is_quiet(2), "the node can never be released");
    }
}

/// A thread that frees the block of a word.
fn freer(s: &Arc<Small>, word: usize) -> thread::JoinHandle<()> {
    let s = s.clone();
    thread::spawn(move || s.free(word))
}

/// Two freers and an owner that collects meanwhile and dissolves the node as soon as it may. The freers
/// share a word, so that one of them may be collected before it has signed off.
#[test]
fn loom_remote_no_post_is_lost_and_release_is_last() {
    loom::model(|| {
        let s = Small::new(1);
        let freers: Vec<_> = [1, 2]
            .map(|mask| {
                let s = s.clone();
                thread::spawn(move || assert_eq!(post(&*s, NODE, &s.words, 0, mask), 0))
            })
            .into();
        let mut got = s.drain(1);
        got += s.take();
        if got == 2 && s.head.is_quiet(got) {
            s.dissolved.store(1, Ordering::Relaxed);
        }
        freers.into_iter().for_each(|f| f.join().unwrap());
        if s.dissolved.load(Ordering::Relaxed) == 0 {
            s.at_rest(1, got);
        }
    });
}

/// An owner that looks at nothing but its inbox hears of all posts.
#[test]
fn loom_remote_the_inbox_tells_of_all() {
    loom::model(|| {
        let s = Small::new(1);
        let freers = [0, 1].map(|w| freer(&s, w));
        let got = s.drain(1);
        freers.into_iter().for_each(|f| f.join().unwrap());
        s.at_rest(1, got);
    });
}

/// A post that finds the node on the inbox of its former owner relies on being forwarded.
#[test]
fn loom_remote_stale_inbox_is_forwarded() {
    loom::model(|| {
        let s = Small::new(1);
        s.free(0);
        s.owner.store(0, Ordering::Release);
        let mut got = s.adopt(2);
        let freer = freer(&s, 1);
        got += s.drain(1);
        freer.join().unwrap();
        got += s.drain(1);
        s.at_rest(2, got);
    });
}

/// The owner ends while two blocks are freed; another heap adopts the node at once.
#[test]
fn loom_remote_exit_and_adoption() {
    loom::model(|| {
        let s = Small::new(1);
        let freers = [0, 1].map(|w| freer(&s, w));
        let mut got = s.exit(1);
        got += s.adopt(2);
        freers.into_iter().for_each(|f| f.join().unwrap());
        s.at_rest(2, got);
    });
}

/// The same, with the record of the old owner opened again by a new thread, which forwards.
#[test]
fn loom_remote_record_reused() {
    loom::model(|| {
        let s = Small::new(1);
        s.free(0);
        let freer = freer(&s, 1);
        let mut got = s.exit(1);
        s.inboxes[1].open();
        got += s.adopt(2);
        got += s.drain(1);
        freer.join().unwrap();
        got += s.drain(1);
        s.at_rest(2, got);
    });
}

/// Freed while it is nobody's; then adopted.
#[test]
fn loom_remote_post_to_an_orphan() {
    loom::model(|| {
        let s = Small::new(0);
        let freer = {
            let s = s.clone();
            thread::spawn(move || {
                s.free(0);
                s.free(1);
            })
        };
        let got = s.adopt(2);
        freer.join().unwrap();
        s.at_rest(2, got);
    });
}

/// An orphan gets its last post while another heap adopts and dissolves it: nobody may list it after.
#[test]
fn loom_remote_dissolved_node_is_never_listed() {
    loom::model(|| {
        let s = Small::new(0);
        let freer = freer(&s, 0);
        let got = s.adopt(2) + s.drain(2);
        let dead = got == 1 && s.head.is_quiet(got);
        freer.join().unwrap();
        if dead {
            assert_eq!(
                s.inboxes[2].take_all(),
                END,
                "a dissolved node is on an inbox"
            );
        }
    });
}

/// The same with the node on the inbox of its former owner, whose successor forwards it.
#[test]
fn loom_remote_forwarded_node_is_not_dissolved() {
    loom::model(|| {
        let s = Small::new(1);
        s.free(1);
        s.owner.store(0, Ordering::Release);
        let forwarder = {
            let s = s.clone();
            thread::spawn(move || {
                s.drain(1);
            })
        };
        let mut got = s.adopt(2);
        s.free(0);
        got += s.drain(2);
        let dead = got == 2 && s.head.is_quiet(got);
        forwarder.join().unwrap();
        if dead {
            assert_eq!(
                s.inboxes[2].take_all(),
                END,
                "a dissolved node is on an inbox"
            );
        }
    });
}

/// A heap hands the node to another while two blocks are freed, and goes on: its inbox stays open, and is read later.
#[test]
fn loom_remote_handed_from_heap_to_heap() {
    loom::model(|| {
        let s = Small::new(1);
        let freers = [0, 1].map(|w| freer(&s, w));
        let mut got = s.drain(1);
        got += s.adopt(2);
        freers.into_iter().for_each(|f| f.join().unwrap());
        got += s.drain(1);
        s.at_rest(2, got);
    });
}

/// An owner that ends leaves the node to a heap that never does, while two blocks are freed.
#[test]
fn loom_remote_left_to_another() {
    loom::model(|| {
        let s = Small::new(1);
        let freers = [0, 1].map(|w| freer(&s, w));
        s.close(1);
        let got = s.adopt(2);
        freers.into_iter().for_each(|f| f.join().unwrap());
        s.at_rest(2, got);
    });
}

/// The same, where the new owner dissolves the node as soon as it may.
#[test]
fn loom_remote_left_and_dissolved() {
    loom::model(|| {
        let s = Small::new(1);
        s.free(1);
        let freer = freer(&s, 0);
        s.close(1);
        let mut got = s.adopt(2);
        got += s.drain(2);
        let dead = got == 2 && s.head.is_quiet(got);
        if dead {
            s.dissolved.store(1, Ordering::Relaxed);
        }
        freer.join().unwrap();
        if !dead {
            s.at_rest(2, got);
        }
    });
}
