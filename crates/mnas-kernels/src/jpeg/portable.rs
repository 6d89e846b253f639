//! Plain Rust, and what the other paths must equal bit for bit.

use super::{BASIS, Block, DCT_ROW, FIRST, SECOND, place};

/// One dimension: `n` samples of eight columns at once from their frequencies.
#[inline(always)]
fn pass(n: usize, x: &[[i16; 8]; 8], (round, shift): (i32, u32)) -> [[i32; 8]; 8] {
    let mut out = [[0; 8]; 8];
    for i in 0..n.div_ceil(2) {
        let w = BASIS[n][i].map(i32::from);
        for lane in 0..8 {
            let term = |k: usize| i32::from(x[k][lane]).wrapping_mul(w[k]);
            let pair = |a: usize| term(a).wrapping_add(term(a + 4));
            let even = pair(0).wrapping_add(pair(2)).wrapping_add(round);
            let odd = pair(1).wrapping_add(pair(3));
            out[i][lane] = even.wrapping_add(odd) >> shift;
            out[n - 1 - i][lane] = even.wrapping_sub(odd) >> shift;
        }
    }
    out
}

pub(super) fn inverse_dct(size: usize, block: &Block, out: &mut [u8], stride: usize) {
    let mut rows = [[0; 8]; 8];
    for (r, row) in rows.iter_mut().enumerate() {
        for (c, v) in row.iter_mut().enumerate() {
            *v = block.0[place(r, c)];
        }
    }
    let half = pass(size, &rows, FIRST);
    let mut columns = [[0i16; 8]; 8];
    for (c, column) in columns.iter_mut().enumerate() {
        for (r, v) in column.iter_mut().enumerate() {
            *v = half[r][c].clamp(i16::MIN.into(), i16::MAX.into()) as i16;
        }
    }
    let whole = pass(size, &columns, SECOND);
    for y in 0..size {
        let row = &mut out[y * stride..][..DCT_ROW];
        for (x, v) in row.iter_mut().enumerate() {
            *v = whole[x][y].clamp(0, 255) as u8;
        }
    }
}

/// `round(v * factor / 65536)`, halves up.
fn scaled(v: i32, factor: i32) -> i32 {
    (v * factor + 32768) >> 16
}

pub(super) fn ycc_to_rgb(y: &[u8], cb: &[u8], cr: &[u8], rgb: &mut [u8]) {
    for (((y, cb), cr), rgb) in y.iter().zip(cb).zip(cr).zip(rgb.chunks_exact_mut(3)) {
        let (y, cb, cr) = (i32::from(*y), i32::from(*cb) - 128, i32::from(*cr) - 128);
        // 1.402, 0.344136, 0.714136 and 1.772 times 65536.
        rgb[0] = (y + scaled(cr, 91_881)).clamp(0, 255) as u8;
        rgb[1] = (y + ((-22_554 * cb - 46_802 * cr + 32_768) >> 16)).clamp(0, 255) as u8;
        rgb[2] = (y + scaled(cb, 116_130)).clamp(0, 255) as u8;
    }
}
