//! A layer in fp8 and what LoRAs add in one kernel (`kernels/product_sm90.cu`), against sums in fp64.

use flux_tui::engine::cuda::memory::{Buffer, F8};
use flux_tui::engine::cuda::product::Ranks;
use flux_tui::engine::sample::noise::randn;
use half::bf16;

use super::{gpu, relative_error};

/// A number in e4m3.
fn value(F8(bits): F8) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 3 & 15), f64::from(bits & 7) / 8.0);
    let size = match exponent {
        0 => fraction * 2f64.powi(-6),
        _ => (1.0 + fraction) * 2f64.powi(exponent - 7),
    };
    if bits & 128 == 0 { size } else { -size }
}

/// Any but the two that are no numbers.
fn numbers(seed: u64, count: usize) -> Vec<F8> {
    let bits = |at: u64| (seed ^ at).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 37;
    (0..count as u64)
        .map(|at| (bits(at) % 256) as u8)
        .map(|bits| F8(if bits & 127 == 127 { 1 } else { bits }))
        .collect()
}

fn narrow(seed: u64, count: usize, size: f32) -> Vec<bf16> {
    randn(seed, count).into_iter().map(|value| bf16::from_f32(value * size)).collect()
}

fn scales(seed: u64, count: usize) -> Vec<f32> {
    randn(seed, count).into_iter().map(|value| 0.01 * (0.1 + value.abs())).collect()
}

struct Layer {
    rows: usize,
    columns: usize,
    inner: usize,
    /// Ranks of each B.
    ranks: usize,
    /// The row after the last of each B.
    ends: Vec<usize>,
}

impl Layer {
    fn new(rows: usize, columns: usize, inner: usize, ranks: usize, ends: &[usize]) -> Self {
        Self { rows, columns, inner, ranks, ends: ends.to_vec() }
    }

    /// The relative error of what the card makes of it. Two rows of the weight, of its first tile and of its last, are
    /// zero and have no scale, as a row that has nothing to scale may have.
    fn error(&self, gpu: &std::sync::Arc<flux_tui::engine::cuda::Gpu>) -> f64 {
        let Self { rows, columns, inner, ranks, ref ends } = *self;
        let all = (ranks * ends.len()).next_multiple_of(16);
        let x = numbers(1, rows * inner);
        let mut weight = numbers(2, columns * inner);
        let bare = [1, columns - 3];
        bare.iter().for_each(|row| weight[row * inner..][..inner].fill(F8(0)));
        let (x_scales, mut weight_scales) = (scales(3, rows), scales(4, columns));
        bare.iter().for_each(|row| weight_scales[*row] = 0.0);
        let (small, up) = (narrow(5, rows * all, 300.0), narrow(6, columns * ranks, 10.0));
        let bias = narrow(7, columns, 100.0);
        let parts: Vec<_> = ends.iter().enumerate().map(|(index, end)| (*end, index * ranks)).collect();

        let buffer = |bytes| Buffer::new(gpu, bytes, "a test").expect("there is memory");
        let on_card = |bytes: &dyn Fn(&Buffer), size| {
            let buffer = buffer(size);
            bytes(&buffer);
            buffer
        };
        let x_there = on_card(&|b| gpu.upload(b.matrix(0, rows, inner), &x).expect("copied"), rows * inner);
        let w_there =
            on_card(&|b| gpu.upload(b.matrix(0, columns, inner), &weight).expect("copied"), columns * inner);
        // What is read in pieces of 16 bytes may reach a little further.
        let xs_there =
            on_card(&|b| gpu.upload(b.matrix(0, rows, 1), &x_scales).expect("copied"), rows * 4 + 16);
        let ws_there =
            on_card(&|b| gpu.upload(b.matrix(0, columns, 1), &weight_scales).expect("copied"), columns * 4);
        let t_there =
            on_card(&|b| gpu.upload(b.matrix(0, rows, all), &small).expect("copied"), rows * all * 2);
        let b_there =
            on_card(&|b| gpu.upload(b.matrix(0, columns, ranks), &up).expect("copied"), columns * ranks * 2);
        let bias_there =
            on_card(&|b| gpu.upload(b.matrix(0, 1, columns), &bias).expect("copied"), columns * 2);
        let out = buffer(rows * columns * 2);
        out.fill(0xff).expect("it is there");
        let ranks_of = Ranks {
            small: t_there.matrix(0, rows, all),
            up: b_there.matrix(0, columns, ranks),
            parts: &parts,
        };
        gpu.product_with_ranks(
            out.matrix(0, rows, columns),
            (x_there.matrix(0, rows, inner), xs_there.matrix(0, rows, 1)),
            (w_there.matrix(0, columns, inner), ws_there.matrix(0, columns, 1)),
            bias_there.matrix(0, 1, columns),
            ranks_of,
        )
        .expect("the card can");
        let ours: Vec<bf16> = gpu.download(out.matrix(0, rows, columns)).expect("it is there");

        let (x, weight): (Vec<_>, Vec<_>) =
            (x.into_iter().map(value).collect(), weight.into_iter().map(value).collect());
        let mut theirs = Vec::with_capacity(rows * columns);
        for row in 0..rows {
            for column in 0..columns {
                let (x, w) = (&x[row * inner..][..inner], &weight[column * inner..][..inner]);
                let own: f64 = x.iter().zip(w).map(|(x, w)| x * w).sum();
                let first = parts
                    .iter()
                    .find(|(end, _)| column < *end)
                    .expect("the last part ends with the columns")
                    .1;
                let (t, b) = (&small[row * all + first..][..ranks], &up[column * ranks..][..ranks]);
                let added: f64 = t.iter().zip(b).map(|(t, b)| t.to_f64() * b.to_f64()).sum();
                let sum = own * f64::from(x_scales[row]) * f64::from(weight_scales[column]) + added;
                theirs.push((sum + bias[column].to_f64()) as f32);
            }
        }
        let ours: Vec<_> = ours.into_iter().map(bf16::to_f32).collect();
        // The rows without a scale by themselves: they are two of many.
        let row = |all: &[f32], at: usize| all.chunks(columns).map(|row| row[at]).collect::<Vec<_>>();
        let alone = bare.map(|at| relative_error(&row(&ours, at), &row(&theirs, at)));
        alone.into_iter().fold(relative_error(&ours, &theirs), f64::max)
    }
}

#[test]
fn a_layer_and_its_loras_in_one_kernel_are_their_sum() {
    let Some(gpu) = gpu() else { return };
    if !gpu.card().is_hopper() {
        return eprintln!("not run: no kernel for {}", gpu.card().name);
    }
    let layers = [
        Layer::new(1, 256, 128, 16, &[256]),
        Layer::new(16, 208, 144, 8, &[208]),
        Layer::new(333, 1008, 656, 24, &[1008]),
        Layer::new(300, 384, 3072, 64, &[384]),
        Layer::new(130, 1536, 1024, 16, &[384, 768, 1152, 1536]),
        Layer::new(260, 960, 512, 40, &[192, 576, 960]),
    ];
    for layer in layers {
        let Layer { rows, columns, inner, ranks, .. } = layer;
        let error = layer.error(&gpu);
        eprintln!("{rows}x{inner} against {columns}, {} times {ranks} ranks: {error:.1e}", layer.ends.len());
        assert!(error < 4e-3, "{rows}x{inner} against {columns}: {error}");
    }
}
