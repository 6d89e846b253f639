//! How values lie in memory between layers: as f32, or as bfloat16 at half the bytes. Layers
//! compute in f32 either way; only the ends of their tiles load and store what is stored.

use std::ops::Range;

use crate::simd::Vector;
use crate::workers::Shared;

#[cfg(test)]
mod tests;

/// A bfloat16: the upper half of an f32, so its range at 8 bits of precision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Bf16(u16);

impl Bf16 {
    /// The nearest value, the even one of two that are as near; NaN stays NaN.
    pub fn from_f32(x: f32) -> Self {
        let bits = x.to_bits();
        if x.is_nan() {
            // Made quiet: of a NaN with its bits in the lower half nothing else would be left.
            return Self((bits >> 16) as u16 | 0x40);
        }
        Self(((bits + 0x7FFF + (bits >> 16 & 1)) >> 16) as u16)
    }

    /// What is left of a value without its lower half: the value itself where it is rounded.
    pub(crate) fn upper_half(x: f32) -> Self {
        Self((x.to_bits() >> 16) as u16)
    }

    /// The same value.
    pub fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }

    /// The memory of `floats` as twice as many values.
    pub fn within(floats: &[f32]) -> &[Bf16] {
        // SAFETY: a float has room for two values, is aligned for them, and any bits are valid.
        unsafe { std::slice::from_raw_parts(floats.as_ptr().cast(), 2 * floats.len()) }
    }

    /// The memory of `floats` as twice as many values.
    pub fn within_mut(floats: &mut [f32]) -> &mut [Bf16] {
        // SAFETY: as in `within`; any bits are valid floats too, and the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), 2 * floats.len()) }
    }
}

/// A type that values are stored as, as vectors see it.
pub(crate) trait Stored: Copy {
    /// Loads a whole vector where `FULL`, else its first `n` values, the rest 0.
    ///
    /// # Safety
    /// As [`Vector::get`].
    unsafe fn get<V: Vector, const FULL: bool>(p: *const Self, n: usize) -> V;

    /// The values as they will be read once stored.
    ///
    /// # Safety
    /// `V`'s instruction set must be available.
    unsafe fn round<V: Vector>(v: V) -> V;

    /// Stores a whole rounded vector where `FULL`, else its first `n` values.
    ///
    /// # Safety
    /// As [`Vector::put`].
    unsafe fn put<V: Vector, const FULL: bool>(v: V, p: *mut Self, n: usize);
}

impl Stored for f32 {
    #[inline(always)]
    unsafe fn get<V: Vector, const FULL: bool>(p: *const Self, n: usize) -> V {
        // SAFETY: handed on.
        unsafe { V::get::<FULL>(p, n) }
    }
    #[inline(always)]
    unsafe fn round<V: Vector>(v: V) -> V {
        v
    }
    #[inline(always)]
    unsafe fn put<V: Vector, const FULL: bool>(v: V, p: *mut Self, n: usize) {
        // SAFETY: handed on.
        unsafe { v.put::<FULL>(p, n) }
    }
}

impl Stored for Bf16 {
    #[inline(always)]
    unsafe fn get<V: Vector, const FULL: bool>(p: *const Self, n: usize) -> V {
        // SAFETY: handed on.
        unsafe {
            if FULL {
                V::load_bf16(p)
            } else {
                V::load_bf16_part(p, n)
            }
        }
    }
    #[inline(always)]
    unsafe fn round<V: Vector>(v: V) -> V {
        // SAFETY: handed on.
        unsafe { v.round_bf16() }
    }
    #[inline(always)]
    unsafe fn put<V: Vector, const FULL: bool>(v: V, p: *mut Self, n: usize) {
        // SAFETY: handed on.
        unsafe {
            if FULL {
                v.store_bf16(p)
            } else {
                v.store_bf16_part(p, n)
            }
        }
    }
}

/// Stored values.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// In single precision.
    F32(&'a [f32]),
    /// In half of it.
    Bf16(&'a [Bf16]),
}

impl<'a> Values<'a> {
    /// How many.
    pub fn len(self) -> usize {
        match self {
            Values::F32(v) => v.len(),
            Values::Bf16(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The values themselves.
    ///
    /// # Panics
    /// Where they are not stored as f32.
    pub fn as_f32(self) -> &'a [f32] {
        match self {
            Values::F32(v) => v,
            Values::Bf16(_) => panic!("values stored as bfloat16 where f32 is expected"),
        }
    }

    /// Where the part `range` begins, bounds checked.
    pub(crate) fn part(self, range: Range<usize>) -> At {
        match self {
            Values::F32(v) => At::F32(v[range].as_ptr()),
            Values::Bf16(v) => At::Bf16(v[range].as_ptr()),
        }
    }
}

/// Memory to store values in.
#[derive(Debug)]
pub enum ValuesMut<'a> {
    /// In single precision.
    F32(&'a mut [f32]),
    /// In half of it.
    Bf16(&'a mut [Bf16]),
}

impl<'a> ValuesMut<'a> {
    /// Room for how many.
    pub fn len(&self) -> usize {
        match self {
            ValuesMut::F32(v) => v.len(),
            ValuesMut::Bf16(v) => v.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory itself.
    ///
    /// # Panics
    /// Where it is not for f32.
    pub fn into_f32(self) -> &'a mut [f32] {
        match self {
            ValuesMut::F32(v) => v,
            ValuesMut::Bf16(_) => panic!("values stored as bfloat16 where f32 is expected"),
        }
    }

    /// Where the part `range` begins, bounds checked.
    pub(crate) fn part(&mut self, range: Range<usize>) -> AtMut {
        match self {
            ValuesMut::F32(v) => AtMut::F32(v[range].as_mut_ptr()),
            ValuesMut::Bf16(v) => AtMut::Bf16(v[range].as_mut_ptr()),
        }
    }
}

/// Where stored values begin.
#[derive(Clone, Copy)]
pub(crate) enum At {
    F32(*const f32),
    Bf16(*const Bf16),
}

impl At {
    /// `n` values on.
    pub(crate) fn skip(self, n: usize) -> Self {
        match self {
            At::F32(p) => At::F32(p.wrapping_add(n)),
            At::Bf16(p) => At::Bf16(p.wrapping_add(n)),
        }
    }
}

/// Where memory for stored values begins.
#[derive(Clone, Copy)]
pub(crate) enum AtMut {
    F32(*mut f32),
    Bf16(*mut Bf16),
}

impl AtMut {
    /// `n` values on.
    pub(crate) fn skip(self, n: usize) -> Self {
        match self {
            AtMut::F32(p) => AtMut::F32(p.wrapping_add(n)),
            AtMut::Bf16(p) => AtMut::Bf16(p.wrapping_add(n)),
        }
    }

    pub(crate) fn cast_const(self) -> At {
        match self {
            AtMut::F32(p) => At::F32(p),
            AtMut::Bf16(p) => At::Bf16(p),
        }
    }
}

/// [`Shared`] memory for stored values.
#[derive(Clone, Copy)]
pub(crate) enum SharedValues<'a> {
    F32(Shared<'a, f32>),
    Bf16(Shared<'a, Bf16>),
}

impl<'a> SharedValues<'a> {
    pub(crate) fn new(values: ValuesMut<'a>) -> Self {
        match values {
            ValuesMut::F32(v) => SharedValues::F32(Shared::new(v)),
            ValuesMut::Bf16(v) => SharedValues::Bf16(Shared::new(v)),
        }
    }

    /// The part `range`, bounds checked.
    ///
    /// # Safety
    /// No other live reference may overlap it.
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> ValuesMut<'a> {
        // SAFETY: handed on.
        unsafe {
            match self {
                SharedValues::F32(s) => ValuesMut::F32(s.part(range)),
                SharedValues::Bf16(s) => ValuesMut::Bf16(s.part(range)),
            }
        }
    }

    /// Value `i`, for writes of strided parts.
    pub(crate) fn at(&self, i: usize) -> AtMut {
        match self {
            SharedValues::F32(s) => AtMut::F32(s.pointer()),
            SharedValues::Bf16(s) => AtMut::Bf16(s.pointer()),
        }
        .skip(i)
    }

    /// Floats of scratch memory that a [`crate::tile::Staged`] tile of `values` takes.
    pub(crate) fn staging(&self, values: usize) -> usize {
        match self {
            SharedValues::F32(_) => 0,
            SharedValues::Bf16(_) => values,
        }
    }
}
