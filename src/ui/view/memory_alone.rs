//! Memory and load with the screen to themselves: each card with its bar, who holds what of it, what
//! was planned beside what is, and how it was in the last minutes.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{frame, memory, text};
use crate::device::{Device, Owner};
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
    let host = || (state.language.memory_machine(readings.host.cores), Use::of_host(&readings.host), None);
    let cards = readings.gpus.iter().map(|gpu| {
        (format!("GPU {}  {}", gpu.index, gpu.name), Use::of_gpu(gpu), Some(Device::Cuda(gpu.index)))
    });
    let devices: Vec<_> = if readings.gpus.is_empty() { vec![host()] } else { cards.collect() };
    for ((name, uses, device), trail) in devices.into_iter().zip(state.memory.trails()) {
        let title = format!("{name}  {}", memory::of_total(uses));
        put(state, rows.next(), &title, Role::Accent, buffer);
        memory::draw_bar(state, rows.next(), uses, buffer);
        memory::draw_owners(state, rows.next(), uses, buffer);
        if let Some(engine) = device.and_then(|device| engine(state, device)) {
            draw_plan(state, &mut rows, engine, uses, buffer);
        }
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
fn engine(state: &State, device: Device) -> Option<&EngineStatus> {
    state.worker.engines.iter().find(|engine| engine.device == device && engine.memory.is_some())
}

/// What was planned: in words beside what is measured, as a bar of the same scale, and who is to hold what.
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
    let (bar, names) = (rows.next(), rows.next());
    let free = state.look.glyphs.bar[2].repeat(usize::from(bar.width));
    text::put(buffer, bar, &[(&free, state.style(Role::MemoryFree))]);
    let (mut x, mut named) = (bar.x, names.x);
    for share in &engine.shares {
        let (sign, style) = (sign(state, share.owner), state.style(role(share.owner)));
        let cells = Use { total: uses.total, ours: share.bytes, others: 0 }.cells(bar.width).0;
        let rest = Rect { x, width: bar.right().saturating_sub(x), ..bar };
        x = text::put(buffer, rest, &[(&sign.repeat(usize::from(cells)), style)]);
        let rest = Rect { x: named, width: names.right().saturating_sub(named), ..names };
        let amount = format!(" {} {}  ", language.owner(share.owner), text::decimal(share.bytes));
        // An owner that does not fit whole is left out; the bar has it.
        if text::width(&amount) < rest.width {
            named = text::put(buffer, rest, &[(sign, style), (&amount, state.style(Role::Text))]);
        }
    }
}

fn sign(state: &State, owner: Owner) -> &'static str {
    let at = Owner::ALL.iter().position(|known| *known == owner).unwrap_or(0);
    state.look.glyphs.owners[at]
}

/// Roles that are near in every theme to what the owner is; the signs tell them apart without colour.
fn role(owner: Owner) -> Role {
    match owner {
        Owner::Transformer => Role::MemoryOurs,
        Owner::Streamed => Role::Spark,
        Owner::Encoders => Role::Warning,
        Owner::Vae | Owner::Loras => Role::Accent,
        Owner::Activations => Role::Text,
        Owner::Context => Role::MemoryOthers,
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
