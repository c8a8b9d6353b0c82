//! Memory: the GPU's where there is one, the machine's otherwise, and it says which.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{frame, memory_alone, text};
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
    let memory = memory_of(readings);
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
            draw_bar(state, Rect { width: inside.width.saturating_sub(width + 2), ..bar }, memory, buffer);
        }
        2 => {
            draw_bar(state, bar, memory, buffer);
            draw_load(state, text::row(inside, 1), &(facts + &loras(state)), buffer);
        }
        _ => {
            draw_bar(state, bar, memory, buffer);
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

fn memory_of(readings: &Readings) -> Use {
    readings.gpus.first().map_or_else(|| Use::of_host(&readings.host), Use::of_gpu)
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

pub(super) fn draw_bar(state: &State, area: Rect, memory: Use, buffer: &mut Buffer) {
    let (ours, others) = memory.cells(area.width);
    let [full, shaded, free] = state.look.glyphs.bar;
    let cells = |sign: &str, count: u16| sign.repeat(usize::from(count));
    let parts = [
        (cells(full, ours), Role::MemoryOurs),
        (cells(shaded, others), Role::MemoryOthers),
        (cells(free, area.width - ours - others), Role::MemoryFree),
    ];
    let parts = parts.each_ref().map(|(text, role)| (&**text, state.style(*role)));
    text::put(buffer, area, &parts);
    // Only cards have one.
    let on_card = state.memory.readings().is_some_and(|readings| !readings.gpus.is_empty());
    let budget = state.parameters.budget().filter(|_| on_card);
    if let Some(cell) = budget.and_then(|budget| memory.budget_cell(budget.0, area.width))
        && area.height > 0
    {
        buffer[(area.x + cell, area.y)]
            .set_symbol(state.look.glyphs.budget)
            .set_style(state.style(Role::Warning));
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
