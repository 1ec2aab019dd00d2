// Rust in two threads: recursion, trait objects, formatting, sorting, hashing, caught panics.
// Build: rustc -O
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::hint::black_box;
use std::thread;

trait Step {
    fn turn(&self, depth: u32, text: &mut String) -> u64;
}

struct Writes(u32);
struct Sorts;

impl Step for Writes {
    #[inline(never)]
    fn turn(&self, depth: u32, text: &mut String) -> u64 {
        write!(text, "{:>8}|{:.3};", depth, f64::from(self.0) / 3.0).unwrap();
        descend(depth, text) + text.len() as u64
    }
}

impl Step for Sorts {
    #[inline(never)]
    fn turn(&self, depth: u32, text: &mut String) -> u64 {
        let mut words: Vec<&str> = text.split(';').collect();
        words.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        let first = words.first().map_or(0, |word| word.len() as u64);
        first + descend(depth, text)
    }
}

#[inline(never)]
fn descend(depth: u32, text: &mut String) -> u64 {
    if depth == 0 {
        return leaf(text);
    }
    let step: Box<dyn Step> = if depth % 2 == 0 { Box::new(Writes(depth)) } else { Box::new(Sorts) };
    black_box(step).turn(depth - 1, text)
}

#[inline(never)]
fn leaf(text: &str) -> u64 {
    let mut counts: HashMap<String, u64> = HashMap::new();
    let mut sorted: BTreeMap<usize, u64> = BTreeMap::new();
    for word in text.split(';') {
        *counts.entry(word.to_string()).or_default() += 1;
        *sorted.entry(word.len()).or_default() += 1;
    }
    counts.values().sum::<u64>() + sorted.len() as u64
}

fn run() {
    loop {
        let mut text = String::new();
        black_box(descend(24, &mut text));
        let caught = std::panic::catch_unwind(|| descend_and_panic(8));
        black_box(caught.is_err());
    }
}

#[inline(never)]
fn descend_and_panic(depth: u32) -> u64 {
    if depth == 0 {
        std::panic::resume_unwind(Box::new("the end of it"));
    }
    1 + black_box(descend_and_panic(depth - 1))
}

fn main() {
    let other = thread::spawn(run);
    run();
    other.join().unwrap();
}
