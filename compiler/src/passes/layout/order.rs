//! The order of an image's axes: [batch, channel axes, spatial axes], and the same with the channel axes last.
//!
//! Invariant: `to_second` undoes `to_last`. There is one channel axis, or several where channels are in groups.

use crate::graph::{Attr, Attrs, Dim};
use crate::seeded::{Fault, is};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub rank: usize,
    /// How many axes the channels have.
    pub channels: usize,
}

impl Order {
    pub fn of_image(rank: usize) -> Order {
        Order { rank, channels: 1 }
    }

    /// `[n, c, ..]` as `[n, .., c]`.
    pub fn to_last(self) -> Vec<usize> {
        std::iter::once(0).chain(self.channels + 1..self.rank).chain(1..=self.channels).collect()
    }

    /// `[n, .., c]` as `[n, c, ..]`.
    pub fn to_second(self) -> Vec<usize> {
        std::iter::once(0).chain(self.rank - self.channels..self.rank).chain(1..self.rank - self.channels).collect()
    }

    /// How the result of a reshape lies that only splits or merges channels.
    pub fn split(self, from: &[Dim], to: &[Dim]) -> Option<Order> {
        let spatial = from.len() - 1 - self.channels;
        let split = Order { rank: to.len(), channels: to.len().checked_sub(spatial + 1).filter(|&n| n > 0)? };
        let channels = |shape: &[Dim], order: Order| Dim::product(&shape[1..=order.channels]);
        let is_split = from[0] == to[0]
            && from[1 + self.channels..] == to[1 + split.channels..]
            && channels(from, self) == channels(to, split);
        is_split.then_some(split)
    }

    /// How the result of a reshape lies that leaves batch and channels as they are.
    pub fn reshaped(self, from: &[Dim], to: &[Dim]) -> Option<Order> {
        let n_kept = self.channels + 1;
        (to.len() > n_kept && from[..n_kept] == to[..n_kept]).then_some(Order { rank: to.len(), ..self })
    }

    /// The permutation of the image with channels last, if it leaves all but the channel axes where they are.
    pub fn shuffled(self, axes: &[i64]) -> Option<Vec<i64>> {
        let is_channel = |axis: usize| (1..=self.channels).contains(&axis);
        let stays = |(to, &from): (usize, &i64)| is_channel(to) || from == to as i64;
        let last = |axis: usize| if is_channel(axis) { axes[axis] + (self.rank - self.channels - 1) as i64 } else { 0 };
        let all = || (0..(self.rank - self.channels) as i64).chain((1..=self.channels).map(last)).collect();
        axes.iter().enumerate().all(stays).then(all)
    }

    /// Axes of batch and positions, and those of channels; all counted from 0.
    pub fn parts(self, axes: &[i64]) -> (Vec<i64>, Vec<i64>) {
        let rank = self.rank as i64;
        let counted = axes.iter().map(|&axis| if axis < 0 { axis + rank } else { axis });
        counted.partition(|&axis| axis == 0 || axis > self.channels as i64)
    }

    /// Attributes that name axes, and those with an entry for each axis, for the image with channels last.
    pub fn moved(self, attrs: &Attrs, named: &[&'static str], each: &[&'static str]) -> Attrs {
        let mut moved = attrs.clone();
        let order = self.to_last();
        let new = |axis: i64| {
            let axis = if axis < 0 { axis + self.rank as i64 } else { axis };
            if is(Fault::LayoutForgetsAxes) {
                return axis;
            }
            order.iter().position(|&from| from as i64 == axis).unwrap_or(0) as i64
        };
        for &name in named {
            match attrs.get(name) {
                Some(Attr::Int(axis)) => moved.set(name, new(*axis).into()),
                Some(Attr::Ints(axes)) => {
                    let mut axes: Vec<i64> = axes.iter().map(|&axis| new(axis)).collect();
                    axes.sort_unstable();
                    moved.set(name, axes.into());
                }
                _ => {}
            }
        }
        for &name in each {
            match attrs.get(name) {
                Some(Attr::Dims(dims)) => moved.set(name, in_order(dims, &order).into()),
                Some(Attr::Ints(ints)) => moved.set(name, in_order(ints, &order).into()),
                _ => {}
            }
        }
        moved
    }
}

pub fn in_order<T: Clone>(entries: &[T], order: &[usize]) -> Vec<T> {
    order.iter().map(|&from| entries[from].clone()).collect()
}
