//! Wide transformers converted to fp8 with a number for each row: the values against the kernel's arithmetic written out
//! once more, what is kept found again, and what is broken passed over.

use std::path::{Path, PathBuf};

use flux_tui::engine::converted::{self, Conversion, ConvertError};
use flux_tui::engine::weights::{Dtype as Type, Part, Scale, Weights};
use flux_tui::engine::{Observer, Report};
use half::{bf16, f16};
use safetensors::Dtype;

use crate::make::{self, Tensor, Tensors, tensors};
use crate::{Nobody, TRANSFORMER, folder, part, velocity};

/// Of every fp8 tensor of nano these are the values of another type.
fn widened(tensors: &Tensors, dtype: Dtype) -> Tensors {
    let wide = make::wide(tensors);
    let tensor = |(name, tensor): (&String, &Tensor)| {
        let was_fp8 = tensors[name].dtype == Dtype::F8_E4M3;
        let values = tensor.bytes.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32());
        let bytes = match dtype {
            Dtype::F32 => values.flat_map(f32::to_le_bytes).collect(),
            // Not every bias fits into fp16.
            Dtype::F16 if was_fp8 => values.flat_map(|value| f16::from_f32(value).to_le_bytes()).collect(),
            _ => return (name.clone(), tensor.clone()),
        };
        (name.clone(), Tensor { dtype, bytes, shape: tensor.shape.clone() })
    };
    wide.iter().map(tensor).collect()
}

/// Every value of e4m3 from 0 on, by its bits.
fn e4m3() -> Vec<f32> {
    (0..127).map(|bits| float8::F8E4M3::from_bits(bits).to_f32()).collect()
}

/// The nearest, of two the even one, and 448 beyond it: by search.
fn nearest(x: f32, table: &[f32]) -> u8 {
    let size = x.abs();
    let above = table.partition_point(|value| *value < size).min(table.len() - 1);
    let below = above.saturating_sub(1);
    let distance = |bits: usize| (f64::from(table[bits]) - f64::from(size)).abs();
    let bits = match distance(below).total_cmp(&distance(above)) {
        std::cmp::Ordering::Less => below,
        std::cmp::Ordering::Greater => above,
        std::cmp::Ordering::Equal => below + below % 2 * (above - below),
    };
    bits as u8 | if x.is_sign_negative() { 0x80 } else { 0 }
}

/// What `quantize_rows_fp8` makes of a row: its bits and its scale.
fn kernel(row: &[f32], table: &[f32]) -> (Vec<u8>, f32) {
    let top = row.iter().fold(0f32, |top, value| top.max(value.abs()));
    let factor = if top > 0.0 { 448.0 / top } else { 0.0 };
    (row.iter().map(|value| nearest(value * factor, table)).collect(), top / 448.0)
}

fn convert(from: &Path, to: &Path) -> Weights {
    let source = part(from, Part::Transformer);
    let conversion = Conversion::new(&source).expect("it is wide");
    conversion.write(to, &mut Nobody).expect("there is room");
    assert_eq!(std::fs::metadata(to).expect("it is there").len(), conversion.bytes());
    part(to, Part::Transformer)
}

#[test]
fn a_transformer_is_converted_to_the_kernels_bits_whatever_its_form() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let (bfl, table) = (tensors(TRANSFORMER), e4m3());
    let wide = make::wide(&bfl);
    let forms = [
        ("bf16", make::write(&at("bf16.safetensors"), &wide)),
        ("fp32", make::write(&at("fp32.safetensors"), &widened(&bfl, Dtype::F32))),
        ("fp16", make::write(&at("fp16.safetensors"), &widened(&bfl, Dtype::F16))),
        ("bf16", make::shard(&at("parts"), "flux", &make::wide(&make::diffusers_transformer(&bfl)), 3)),
    ];
    for (number, (dtype, path)) in forms.iter().enumerate() {
        let to = at(&format!("converted-{number}.safetensors"));
        let made = convert(path, &to);
        assert_eq!(
            (converted::converted_from(&made).map(Type::name), made.form()),
            (Some((*dtype).to_owned()), Some("BFL"))
        );
        let mut rounded = 0;
        for (name, tensor) in &wide {
            let stored = made.stored(name, &tensor.shape).unwrap_or_else(|error| panic!("{dtype}: {error}"));
            let [piece] = &stored.pieces[..] else { panic!("{name} is {} pieces", stored.pieces.len()) };
            let in_block = name.contains("_blocks.") || name.starts_with("final_layer.adaLN_modulation");
            if !(in_block && name.ends_with(".weight")) {
                assert!((stored.dtype, piece.bytes) == (Type::BF16, &tensor.bytes[..]), "{dtype}: {name}");
                assert!(piece.scale.is_none(), "{name}");
                continue;
            }
            let values: Vec<f32> =
                tensor.bytes.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect();
            let rows = values.chunks_exact(tensor.shape[1]).map(|row| kernel(row, &table));
            let (bits, factors): (Vec<_>, Vec<_>) = rows.unzip();
            assert!(piece.bytes == bits.concat(), "{dtype}: other bits in {name}");
            let scale = Scale::Rows { factors: factors.into(), columns: tensor.shape[1] };
            assert_eq!((stored.dtype, piece.scale.as_ref()), (Type::F8E4M3, Some(&scale)), "{dtype}: {name}");
            rounded += 1;
        }
        // Ten layers of each double block, three of each single one, and the last modulation.
        assert_eq!(rounded, 10 * 3 + 3 * 5 + 1, "{dtype}");
    }
}

#[test]
fn a_converted_transformer_computes_what_its_values_do() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let wide = make::wide(&tensors(TRANSFORMER));
    let source = make::write(&at("bf16.safetensors"), &wide);
    let made = convert(&source, &at("converted.safetensors"));
    let values = |(name, tensor): (&String, &Tensor)| {
        let values = made.widened(name, &tensor.shape).expect("it is there");
        let bytes = values.into_iter().flat_map(f32::to_le_bytes).collect();
        (name.clone(), Tensor { dtype: Dtype::F32, bytes, shape: tensor.shape.clone() })
    };
    let flat = make::write(&at("fp32.safetensors"), &wide.iter().map(values).collect());
    let computed = velocity(&made);
    assert_eq!(computed, velocity(&part(&flat, Part::Transformer)), "another velocity than its values'");
    // fp8 is not bf16: what is compared is what was rounded.
    assert_ne!(computed, velocity(&part(&source, Part::Transformer)));
}

/// Stops when so many bytes are there.
struct Until(u64, bool);

impl Observer for Until {
    fn report(&mut self, report: Report<'_>) {
        let Report::Loading { done, total } = report else { panic!("nothing else is told") };
        assert!(done <= total);
        self.1 = done >= self.0;
    }

    fn wants_stop(&self) -> bool {
        self.1
    }
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn what_breaks_off_leaves_nothing_and_what_was_there() {
    let folder = folder();
    let mut wide = make::wide(&tensors(TRANSFORMER));
    let path = make::write(&folder.path().join("bf16.safetensors"), &wide);
    let source = part(&path, Part::Transformer);
    let conversion = Conversion::new(&source).expect("it is wide");
    let to = folder.path().join("kept/it.safetensors");
    for bytes in [0, 4096, 1 << 20, conversion.bytes()] {
        let stopped = conversion.write(&to, &mut Until(bytes, false));
        assert!(matches!(stopped, Err(ConvertError::Stopped)), "{stopped:?} after {bytes}");
        assert_eq!(names(&folder.path().join("kept")), [] as [PathBuf; 0]);
    }
    std::fs::write(&to, b"before").expect("there is room");
    conversion.write(&to, &mut Until(1 << 20, false)).expect_err("it was stopped");
    assert_eq!(std::fs::read(&to).expect("it is there"), b"before");
    // A number that is none, in the third row.
    let name = "single_blocks.4.linear2.weight";
    let tensor = wide.get_mut(name).expect("it is there");
    let row = tensor.bytes.len() / tensor.shape[0];
    tensor.bytes[2 * row + 10..][..2].copy_from_slice(&bf16::NAN.to_le_bytes());
    let path = make::write(&folder.path().join("nan.safetensors"), &wide);
    let source = part(&path, Part::Transformer);
    let conversion = Conversion::new(&source).expect("it is wide");
    let error = conversion.write(&to, &mut Nobody).expect_err("no number");
    assert!(error.to_string().contains(name) && error.to_string().contains("row 2 is NaN"), "{error}");
    assert_eq!(names(&folder.path().join("kept")), [to]);
}

#[test]
fn what_is_narrow_already_is_refused_with_its_type() {
    let nano = part(&make::nano(TRANSFORMER), Part::Transformer);
    let error = Conversion::new(&nano).expect_err("it is fp8").to_string();
    assert!(error.contains("fp8 e4m3 already"), "{error}");
    let folder = folder();
    let path = folder.path().join("it.gguf");
    let quantised = crate::make_gguf::nano_of(&[Type::Q8_0]);
    let path = crate::make_gguf::write(&path, "flux", &quantised);
    let error = Conversion::new(&part(&path, Part::Transformer)).expect_err("it is quantised").to_string();
    assert!(error.contains("Q8_0"), "{error}");
}

#[test]
fn the_converted_form_is_found_by_its_source_and_passed_over_when_it_is_broken() {
    let folder = folder();
    let (at, kept) = (|name: &str| folder.path().join(name), folder.path().join("converted"));
    let mut wide = make::wide(&tensors(TRANSFORMER));
    let source = part(&make::write(&at("bf16.safetensors"), &wide), Part::Transformer);
    assert!(converted::find(&kept, &source).is_none(), "there is none yet");
    let place = converted::place(&kept, &source);
    Conversion::new(&source).expect("it is wide").write(&place, &mut Nobody).expect("there is room");
    let found = converted::find(&kept, &source).expect("it is there");
    assert_eq!(found.dtype("single_blocks.0.linear1.weight").expect("it is there"), Type::F8E4M3);

    // A fine-tune is another source.
    for bytes in wide.get_mut("single_blocks.0.linear1.weight").expect("it is there").bytes.as_chunks_mut().0
    {
        *bytes = bf16::from_f32(bf16::from_le_bytes(*bytes).to_f32() * 1.5).to_le_bytes();
    }
    let tuned = part(&make::write(&at("tuned.safetensors"), &wide), Part::Transformer);
    assert!(converted::find(&kept, &tuned).is_none(), "it is the other's");
    std::fs::copy(&place, converted::place(&kept, &tuned)).expect("there is room");
    assert!(converted::find(&kept, &tuned).is_none(), "it is the other's, whatever it is called");

    let whole = std::fs::read(&place).expect("it is there");
    let broken = |bytes: &[u8]| {
        std::fs::write(&place, bytes).expect("there is room");
        assert!(converted::find(&kept, &source).is_none(), "it was taken");
    };
    broken(&whole[..whole.len() - 1]);
    broken(b"");
    // The last four bytes are the last row's scale.
    broken(&[&whole[..whole.len() - 4], &f32::NAN.to_le_bytes()].concat());
    let (length, rest) = whole.split_at(8);
    let end = u64::from_le_bytes(length.try_into().expect("eight bytes")) as usize;
    let header = std::str::from_utf8(&rest[..end]).expect("JSON");
    for (from, to) in [
        // A scale for the columns, and one for nothing; a tensor less, of the same length.
        ("\"shape\":[768]", "\"shape\":[384,2]"),
        ("single_blocks.4.linear2.weight_scale", "single_blocks.4.linear2.weight_other"),
        ("\"img_in.bias\"", "\"img_in.bits\""),
        ("flux-tui fp8 rows 1", "flux-tui fp8 rows 0"),
    ] {
        assert!(header.contains(from), "{from} is not in the header");
        let mut changed = header.replacen(from, to, 1);
        changed.truncate(end.min(changed.trim_end().len()));
        let padded = format!("{changed:end$}");
        broken(&[length, padded.as_bytes(), &rest[end..]].concat());
    }
    std::fs::write(&place, &whole).expect("there is room");
    assert!(converted::find(&kept, &source).is_some(), "it is whole again");
}
