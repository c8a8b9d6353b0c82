//! Memory: the GPU's where there is one, the machine's otherwise, and it says which.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{frame, memory_alone, text};
use crate::device::{Device, Owner, Share};
use crate::gpu::{Gpu, Host, Readings};
use crate::ui::arrangement::Zoom;
use crate::ui::language::Language;
use crate::ui::layout::padded;
use crate::ui::pane::memory::Use;
use crate::ui::state::State;
use crate::ui::theme::Role;

pub(super) fn draw(state: &State, area: Rect, buffer: &mut Buffer) {
    let inside = padded(area);
    let Some(readings) = state.memory.readings() else {
        frame::draw(state, area, None, state.language.memory_title(), buffer);
        let hint = text::clip(state.language.memory_none(), inside.width, state.look.glyphs.ellipsis);
        text::put(buffer, inside, &[(&hint, state.style(Role::Dim))]);
        return;
    };
    if matches!(state.view.zoom, Some(Zoom::Memory(_))) {
        return memory_alone::draw(state, area, readings, buffer);
    }
    let measured = measured(state, readings);
    let memory = measured.memory;
    frame::draw(state, area, None, &title(state, readings, memory), buffer);
    let facts = facts(state, readings);
    let bar = text::row(inside, 0);
    match inside.height {
        0 => {}
        1 => {
            let facts =
                if readings.gpus.is_empty() { format!("CPU {:.0} %", readings.host.load) } else { facts };
            let width = text::width(&facts).min(inside.width * 2 / 3);
            text::put_right(buffer, inside, &text::clip(&facts, width, ""), state.style(Role::Dim));
            draw_bar(state, Rect { width: inside.width.saturating_sub(width + 2), ..bar }, &measured, buffer);
        }
        2 => {
            draw_bar(state, bar, &measured, buffer);
            draw_load(state, text::row(inside, 1), &(facts + &loras(state)), buffer);
        }
        _ => {
            draw_bar(state, bar, &measured, buffer);
            let mut left = draw_owners(state, text::row(inside, 1), memory, buffer);
            // Beside the owners, or where there is no room for them in the next row.
            let (loras, mut facts) = (loras(state), facts);
            if text::width(&loras) <= left.width {
                let x = text::put(buffer, left, &[(&loras, state.style(Role::MemoryOurs))]);
                left = Rect { x, width: left.right().saturating_sub(x), ..left };
            } else {
                facts += &loras;
            }
            draw_plan(state, left, buffer);
            draw_load(state, text::row(inside, 2), &facts, buffer);
            for (row, gpu) in (3..inside.height).zip(readings.gpus.iter().skip(1)) {
                let line = format!("GPU {}  {}", gpu.index, of_total(Use::of_gpu(gpu)));
                text::put(buffer, text::row(inside, row), &[(&line, state.style(Role::Dim))]);
            }
        }
    }
}

/// What is measured of a card or of the machine, and what was planned for it.
pub(super) struct Measured {
    pub memory: Use,
    /// Who of the worker holds what of it; empty where that is not known.
    pub shares: Vec<Share>,
    /// Bytes that the worker is to hold, by the plan.
    pub planned: Option<u64>,
}

impl Measured {
    pub fn of_gpu(state: &State, gpu: &Gpu) -> Self {
        let planned = memory_alone::engine(state, Device::Cuda(gpu.index))
            .map(|engine| engine.shares.iter().map(|share| share.bytes).sum())
            .filter(|planned| *planned > 0);
        Self { memory: Use::of_gpu(gpu), shares: gpu.measured(), planned }
    }

    pub fn of_host(host: &Host) -> Self {
        Self { memory: Use::of_host(host), shares: Vec::new(), planned: None }
    }
}

fn measured(state: &State, readings: &Readings) -> Measured {
    let gpu = readings.gpus.first();
    gpu.map_or_else(|| Measured::of_host(&readings.host), |gpu| Measured::of_gpu(state, gpu))
}

pub(super) fn of_total(memory: Use) -> String {
    format!("{} / {} GB", text::gigabytes(memory.ours + memory.others), text::gigabytes(memory.total))
}

fn title(state: &State, readings: &Readings, memory: Use) -> String {
    let (dot, language, used) = (state.look.glyphs.dot, state.language, of_total(memory));
    match readings.gpus.first() {
        Some(gpu) => {
            let budget = state.parameters.budget().map(|budget| language.memory_budget(budget));
            let budget = budget.map_or_else(String::new, |budget| format!("{budget} {dot} "));
            format!("{} {used} {dot} {budget}{}", language.memory_vram(), gpu.name)
        }
        None => format!("{} {used} {dot} {}", language.memory_title(), language.memory_no_gpu()),
    }
}

/// What of a card or of the machine is in use, by whom as far as that is known, and where budget and plan end.
pub(super) fn draw_bar(state: &State, area: Rect, of: &Measured, buffer: &mut Buffer) {
    let memory = of.memory;
    let (ours, others) = memory.cells(area.width);
    let [full, shaded, free] = state.look.glyphs.bar;
    let free_of_all = free.repeat(usize::from(area.width));
    text::put(buffer, area, &[(&free_of_all, state.style(Role::MemoryFree))]);
    let end = match &of.shares[..] {
        [] => {
            let worker = full.repeat(usize::from(ours));
            text::put(buffer, area, &[(&worker, state.style(Role::MemoryOurs))])
        }
        shares => draw_shares(state, area, memory, shares, buffer),
    };
    let rest = Rect { x: end, width: area.right().saturating_sub(end), ..area };
    let others = shaded.repeat(usize::from(others.min(rest.width)));
    text::put(buffer, rest, &[(&others, state.style(Role::MemoryOthers))]);
    // Only cards have one.
    let on_card = state.memory.readings().is_some_and(|readings| !readings.gpus.is_empty());
    let budget = state.parameters.budget().filter(|_| on_card).map(|budget| budget.0);
    for (bytes, role) in [(of.planned, Role::Accent), (budget, Role::Warning)] {
        if let Some(cell) = bytes.and_then(|bytes| memory.budget_cell(bytes, area.width))
            && area.height > 0
        {
            let mark = &mut buffer[(area.x + cell, area.y)];
            mark.set_symbol(state.look.glyphs.budget).set_style(state.style(role));
        }
    }
}

/// Shares side by side, each by its owner's sign. Gives where they end.
pub(super) fn draw_shares(
    state: &State,
    area: Rect,
    memory: Use,
    shares: &[Share],
    buffer: &mut Buffer,
) -> u16 {
    let mut x = area.x;
    for (owner, cells) in memory.cells_of(shares, area.width) {
        let rest = Rect { x, width: area.right().saturating_sub(x), ..area };
        let cells = sign(state, owner).repeat(usize::from(cells));
        x = text::put(buffer, rest, &[(&cells, state.style(role(owner)))]);
    }
    x
}

pub(super) fn sign(state: &State, owner: Owner) -> &'static str {
    let at = Owner::ALL.iter().position(|known| *known == owner).unwrap_or(0);
    state.look.glyphs.owners[at]
}

/// Roles that are near in every theme to what the owner is; the signs tell them apart without colour.
pub(super) fn role(owner: Owner) -> Role {
    match owner {
        Owner::Transformer => Role::MemoryOurs,
        Owner::Streamed => Role::Spark,
        Owner::Encoders => Role::Warning,
        Owner::Vae | Owner::Loras => Role::Accent,
        Owner::Activations => Role::Text,
        Owner::Context => Role::MemoryOthers,
    }
}

/// Gives what is left of the row.
pub(super) fn draw_owners(state: &State, area: Rect, memory: Use, buffer: &mut Buffer) -> Rect {
    let free = memory.total.saturating_sub(memory.ours + memory.others);
    let language = state.language;
    let named = [
        ("", language.memory_worker(), memory.ours, Role::MemoryOurs),
        ("  ", language.memory_others(), memory.others, Role::Text),
        ("  ", language.memory_free(), free, Role::Text),
    ];
    let mut x = area.x;
    for (gap, name, bytes, role) in named {
        let rest = Rect { x, width: area.right().saturating_sub(x), ..area };
        let amount = text::gigabytes(bytes);
        let dim = state.style(Role::Dim);
        let texts = [(gap, dim), (name, dim), (" ", dim), (&*amount, state.style(role))];
        x = text::put(buffer, rest, &texts);
    }
    let rest = Rect { x, width: area.right().saturating_sub(x), ..area };
    let x = text::put(buffer, rest, &[(" GB", state.style(Role::Dim))]);
    Rect { x, width: area.right().saturating_sub(x), ..area }
}

/// What LoRAs hold of the worker's share: small beside a model, so in a unit of its own.
fn loras(state: &State) -> String {
    let bytes = state.worker.engines.iter().map(|engine| engine.loras).find(|bytes| *bytes > 0);
    bytes.map_or_else(String::new, |bytes| format!("  {}", state.language.memory_loras(text::decimal(bytes))))
}

/// How the model is kept, at the right end of what is left of a row, with a gap before it.
fn draw_plan(state: &State, area: Rect, buffer: &mut Buffer) {
    let Some(plan) = state.worker.engines.iter().find_map(|engine| engine.memory.as_deref()) else { return };
    if area.width >= 2 + text::width(plan) {
        text::put_right(buffer, area, plan, state.style(Role::Dim));
    }
}

/// The numbers, and in the rest of the row how busy it was.
fn draw_load(state: &State, area: Rect, facts: &str, buffer: &mut Buffer) {
    let facts = text::clip(facts, area.width, state.look.glyphs.ellipsis);
    let x = text::put(buffer, area, &[(&facts, state.style(Role::Text)), ("  ", state.style(Role::Text))]);
    let width = usize::from(area.right().saturating_sub(x));
    let load = state.memory.load();
    let line: String = load
        .iter()
        .skip(load.len().saturating_sub(width))
        .map(|load| state.look.glyphs.levels[usize::from(*load).min(99) * 8 / 100])
        .collect();
    let rest = Rect { x, width: width as u16, ..area };
    text::put(buffer, rest, &[(&line, state.style(Role::Spark))]);
}

fn facts(state: &State, readings: &Readings) -> String {
    match readings.gpus.first() {
        Some(gpu) => of_gpu(gpu, state.look.glyphs.degrees),
        None => of_host(&readings.host, state.language),
    }
}

/// `98 %  71 °C  168 W`; what the card does not say is left out.
fn of_gpu(gpu: &Gpu, degrees: &str) -> String {
    let parts = [
        gpu.utilisation.map(|percent| format!("{percent} %")),
        gpu.temperature.map(|temperature| format!("{temperature} {degrees}")),
        gpu.power.map(|watts| format!("{watts:.0} W")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("  ")
}

fn of_host(host: &Host, language: Language) -> String {
    language.memory_load(format_args!("{:.0}", host.load), format_args!("{:.0}", host.worker_load))
}
