//! Work shared by threads.

use rayon::prelude::*;
use std::collections::HashMap;
use tokio::sync::{mpsc, oneshot};

struct Request {
    path: String,
    body: Vec<u8>,
    reply: oneshot::Sender<Vec<u8>>,
}

/// A server of tasks: requests pass through a channel to handlers, answers come back by one-shot
/// channels; buffers are made by one thread and dropped by another.
pub fn task_server(rounds: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("the runtime starts");
    for _ in 0..rounds {
        runtime.block_on(async {
            let (sender, mut receiver) = mpsc::channel::<Request>(256);
            let server = tokio::spawn(async move {
                let mut served = 0usize;
                while let Some(request) = receiver.recv().await {
                    served += 1;
                    tokio::spawn(async move {
                        let mut answer =
                            format!("{} {}:", request.path, request.body.len()).into_bytes();
                        answer.extend(request.body.iter().rev());
                        // A client that went away is no error.
                        let _ = request.reply.send(answer);
                    });
                }
                served
            });
            let clients: Vec<_> = (0..50usize)
                .map(|client| {
                    let sender = sender.clone();
                    tokio::spawn(async move {
                        for i in 0..100usize {
                            let (reply, answer) = oneshot::channel();
                            let request = Request {
                                path: format!("/client/{client}/item/{i}"),
                                body: vec![client as u8; 16 + i * 20],
                                reply,
                            };
                            sender.send(request).await.expect("the server listens");
                            let answer = answer.await.expect("the server answers");
                            assert_eq!(answer.last(), Some(&(client as u8)));
                        }
                    })
                })
                .collect();
            drop(sender);
            for client in clients {
                client.await.expect("a client failed");
            }
            assert_eq!(server.await.expect("the server failed"), 5000);
        });
    }
}

/// Counts words by a parallel fold and reduce.
pub fn reduce(rounds: usize) {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(2)
        .build()
        .expect("the pool starts");
    for _ in 0..rounds {
        pool.install(|| {
            let lines: Vec<String> = (0..20_000u32)
                .into_par_iter()
                .map(|i| format!("line {i} word{} word{} end", i % 100, i * 7 % 1000))
                .collect();
            let counts = lines
                .par_iter()
                .fold(HashMap::<String, usize>::new, |mut counts, line| {
                    for word in line.split(' ') {
                        *counts.entry(word.to_owned()).or_default() += 1;
                    }
                    counts
                })
                .reduce(HashMap::new, |mut a, b| {
                    for (word, count) in b {
                        *a.entry(word).or_default() += count;
                    }
                    a
                });
            assert_eq!(counts["line"], 20_000);
            assert_eq!(counts.values().sum::<usize>(), 100_000);
        });
    }
}
