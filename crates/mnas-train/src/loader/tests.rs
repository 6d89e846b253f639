use std::collections::BTreeSet;

use super::*;
use crate::fake::{TOY, toy_split};
use crate::{Augment, PadFill};

fn plan(images: usize, batch: usize) -> LoaderPlan {
    LoaderPlan {
        split: toy_split(images, 5),
        augment: Augment {
            pad_crop: 2,
            pad_fill: PadFill::Zero,
            flip: true,
            cutout: 2,
            ..Augment::NONE
        },
        mean: vec![128; 3],
        batch,
        seed: 11,
    }
}

fn batches(plan: &LoaderPlan, steps: std::ops::Range<u64>) -> Vec<(Vec<u8>, Vec<u16>)> {
    let mut loader = Loader::start(plan.clone(), steps.clone()).unwrap();
    steps
        .map(|_| {
            let batch = loader.next_batch();
            let copy = (batch.images.clone(), batch.labels.clone());
            loader.recycle(batch);
            copy
        })
        .collect()
}

#[test]
fn the_sequence_depends_on_the_plan_only() {
    let plan = plan(50, 8);
    let all = batches(&plan, 0..18);
    assert_eq!(all, batches(&plan, 0..18));
    // From the middle of an epoch it goes on as if it had started at the beginning.
    assert_eq!(all[7..], batches(&plan, 7..18));
    // A reader that is slower than the loader sees the same.
    let mut loader = Loader::start(plan.clone(), 0..18).unwrap();
    let kept: Vec<Batch> = (0..18).map(|_| loader.next_batch()).collect();
    for (a, b) in kept.iter().zip(&all) {
        assert_eq!((&a.images, &a.labels), (&b.0, &b.1));
    }
    let other = LoaderPlan { seed: 12, ..plan };
    assert_ne!(all, batches(&other, 0..18));
}

#[test]
fn an_epoch_shows_each_image_at_most_once_in_another_order_each_time() {
    let plan = plan(50, 8);
    assert_eq!(plan.steps_per_epoch(), 6);
    let orders: Vec<Vec<u32>> = (0..3).map(|e| plan.order(e)).collect();
    for order in &orders {
        let distinct: BTreeSet<&u32> = order.iter().collect();
        assert_eq!((order.len(), distinct.len()), (50, 50));
    }
    assert!(orders[0] != orders[1] && orders[1] != orders[2]);
    // The two images that an epoch leaves out differ from epoch to epoch.
    let left: BTreeSet<&[u32]> = orders.iter().map(|o| &o[48..]).collect();
    assert!(left.len() > 1);
}

#[test]
fn a_split_smaller_than_a_batch_is_one_step() {
    let plan = plan(5, 8);
    assert_eq!(plan.steps_per_epoch(), 1);
    let all = batches(&plan, 0..2);
    assert!(
        all.iter()
            .all(|b| b.1.len() == 5 && b.0.len() == 5 * TOY.len())
    );
}

#[test]
fn an_image_is_changed_alike_wherever_it_stands() {
    let whole = plan(50, 8);
    let mut first = Batch::default();
    let mut again = Batch::default();
    let order = whole.order(4);
    let mut turned = order.clone();
    turned[..8].reverse();
    whole.fill(4, 0, &order, &mut first);
    whole.fill(4, 0, &turned, &mut again);
    let images: Vec<&[u8]> = first.images.chunks_exact(TOY.len()).collect();
    let reversed: Vec<&[u8]> = again.images.chunks_exact(TOY.len()).rev().collect();
    assert_eq!(images, reversed);
    whole.fill(5, 0, &order, &mut again);
    assert_ne!(first.images, again.images);
}

#[test]
fn dropping_a_loader_ends_its_thread() {
    let mut loader = Loader::start(plan(50, 8), 0..u64::MAX).unwrap();
    loader.next_batch();
    drop(loader);
}
