//! Memory and load with the screen to themselves: each card with its bar, who holds what of it, what
//! was planned beside what is, and how it was in the last minutes.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::memory::{self, Measured};
use super::{frame, text};
use crate::device::{Device, Owner, Share};
use crate::gpu::Readings;
use crate::ui::layout::padded;
use crate::ui::pane::memory::{Measure, Trail, Use};
use crate::ui::state::State;
use crate::ui::theme::Role;
use crate::wire::message::EngineStatus;

/// Cells for the name of a line and for its number.
const NAME: u16 = 13;
const NUMBER: u16 = 8;

pub(super) fn draw(state: &State, area: Rect, readings: &Readings, buffer: &mut Buffer) {
    frame::draw(state, area, None, state.language.memory_alone(), buffer);
    let inside = padded(area);
    let mut rows = Rows { inside, next: 0 };
    let machine = || {
        let name = state.language.memory_machine(readings.host.cores);
        (name, Measured::of_host(&readings.host), None)
    };
    let cards = readings.gpus.iter().map(|gpu| {
        let name = format!("GPU {}  {}", gpu.index, gpu.name);
        (name, Measured::of_gpu(state, gpu), Some(Device::Cuda(gpu.index)))
    });
    let devices: Vec<_> = if readings.gpus.is_empty() { vec![machine()] } else { cards.collect() };
    for ((name, measured, device), trail) in devices.into_iter().zip(state.memory.trails()) {
        let title = format!("{name}  {}", memory::of_total(measured.memory));
        put(state, rows.next(), &title, Role::Accent, buffer);
        memory::draw_bar(state, rows.next(), &measured, buffer);
        memory::draw_owners(state, rows.next(), measured.memory, buffer);
        let engine = device.and_then(|device| engine(state, device));
        if let Some(engine) = engine {
            draw_plan(state, &mut rows, engine, measured.memory, buffer);
        }
        let planned = engine.map_or(&[][..], |engine| &engine.shares);
        draw_names(state, &mut rows, &measured.shares, planned, buffer);
        for measure in Measure::ALL {
            draw_trail(state, &mut rows, measure, trail, buffer);
        }
        rows.next();
    }
}

/// Rows from the top; empty ones below the last.
struct Rows {
    inside: Rect,
    next: u16,
}

impl Rows {
    fn next(&mut self) -> Rect {
        self.next += 1;
        text::row(self.inside, self.next - 1)
    }
}

fn put(state: &State, row: Rect, line: &str, role: Role, buffer: &mut Buffer) {
    let line = text::clip(line, row.width, state.look.glyphs.ellipsis);
    text::put(buffer, row, &[(&line, state.style(role))]);
}

/// The engine of a card. The numbers of the devices are the driver's, as those of the cards are in
/// every usual order.
pub(super) fn engine(state: &State, device: Device) -> Option<&EngineStatus> {
    state.worker.engines.iter().find(|engine| engine.device == device && engine.memory.is_some())
}

/// What was planned: in words beside what is measured, and as a bar of the same scale.
fn draw_plan(state: &State, rows: &mut Rows, engine: &EngineStatus, uses: Use, buffer: &mut Buffer) {
    let language = state.language;
    let mut parts: Vec<String> = engine.memory.iter().map(|plan| language.memory_planned(plan)).collect();
    // As plans count, in powers of ten.
    parts.push(language.memory_measured(text::decimal(uses.ours)));
    parts.extend(state.parameters.budget().map(|budget| language.memory_budget(budget)));
    put(state, rows.next(), &parts.join(&format!(" {} ", state.look.glyphs.dot)), Role::Text, buffer);
    if engine.shares.is_empty() {
        return;
    }
    let bar = rows.next();
    let free = state.look.glyphs.bar[2].repeat(usize::from(bar.width));
    text::put(buffer, bar, &[(&free, state.style(Role::MemoryFree))]);
    memory::draw_shares(state, bar, uses, &engine.shares, buffer);
}

/// Every owner by its sign and name: what was measured and what was planned, as far as either is known.
fn draw_names(state: &State, rows: &mut Rows, measured: &[Share], planned: &[Share], buffer: &mut Buffer) {
    let of = |shares: &[Share], owner| shares.iter().find(|share| share.owner == owner).map(|it| it.bytes);
    let amount = |owner| match (of(measured, owner), of(planned, owner)) {
        (None, None) => None,
        (None, Some(planned)) if measured.is_empty() => Some(text::decimal(planned)),
        (Some(measured), None) if planned.is_empty() => Some(text::decimal(measured)),
        (measured, planned) => Some(both(measured.unwrap_or(0), planned.unwrap_or(0))),
    };
    let named: Vec<_> = Owner::ALL.into_iter().filter_map(|owner| Some((owner, amount(owner)?))).collect();
    if named.is_empty() {
        return;
    }
    let mut left = rows.next();
    let told = if measured.is_empty() || planned.is_empty() { "" } else { state.language.memory_both() };
    if !told.is_empty() {
        let x = text::put(buffer, left, &[(told, state.style(Role::Dim)), ("  ", state.style(Role::Dim))]);
        left = Rect { x, width: left.right().saturating_sub(x), ..left };
    }
    for (owner, amount) in named {
        let amount = format!(" {} {amount}  ", state.language.owner(owner));
        if left.width < text::width(&amount) {
            left = rows.next();
        }
        let (sign, style) = (memory::sign(state, owner), state.style(memory::role(owner)));
        let x = text::put(buffer, left, &[(sign, style), (&amount, state.style(Role::Text))]);
        left = Rect { x, width: left.right().saturating_sub(x), ..left };
    }
}

/// `6.4/6.5 GB`, `21.0 MB/0`.
fn both(measured: u64, planned: u64) -> String {
    let told = |bytes| if bytes == 0 { "0".to_owned() } else { text::decimal(bytes) };
    let (measured, planned) = (told(measured), told(planned));
    match (measured.split_once(' '), planned.split_once(' ')) {
        (Some((number, unit)), Some((_, other))) if unit == other => format!("{number}/{planned}"),
        _ => format!("{measured}/{planned}"),
    }
}

/// One line of what was measured; nothing of what the device does not say.
fn draw_trail(state: &State, rows: &mut Rows, of: Measure, trail: &Trail, buffer: &mut Buffer) {
    let Some(last) = trail.last(of) else { return };
    let (glyphs, language) = (&state.look.glyphs, state.language);
    let (name, unit) = match of {
        Measure::Memory => (language.measure_memory(), "%"),
        Measure::Load => (language.measure_load(), "%"),
        Measure::Temperature => (language.measure_temperature(), glyphs.degrees),
        Measure::Power => (language.measure_power(), "W"),
    };
    let row = rows.next();
    let number = format!("{last:.0} {unit}");
    text::put(buffer, row, &[(name, state.style(Role::Dim))]);
    let numbers = Rect { x: row.x + NAME, width: NUMBER.min(row.width.saturating_sub(NAME)), ..row };
    text::put_right(buffer, numbers, &number, state.style(Role::Text));
    let x = numbers.right() + 2;
    let line = Rect { x, width: row.right().saturating_sub(x), ..row };
    let full = trail.full(of);
    let level = |value: f32| {
        let share = (value / full).clamp(0.0, 1.0) * (glyphs.levels.len() - 1) as f32;
        glyphs.levels[share.round() as usize]
    };
    let width = usize::from(line.width);
    let seen = trail.values(of).count().min(width);
    let signs: String = trail.values(of).rev().take(seen).map(level).collect();
    let signs: String = signs.chars().rev().collect();
    text::put(buffer, line, &[(&signs, state.style(Role::Spark))]);
}
