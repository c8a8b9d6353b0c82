//! Seeds of what is drawn next.

use crate::ui::draft::SeedWish;
use crate::ui::pane::prompt::Tried;
use crate::ui::state::State;

/// The seed after the last one. While the prompt stays, it goes on from what was asked for: the worker may still be at
/// an earlier one.
pub(super) fn next(state: &mut State) -> SeedWish {
    let after_asked = state.prompt.tried.take().filter(|tried| tried.prompt == state.prompt.editor.text());
    let after_last = state.parameters.last_seed.map(|last| last.wrapping_add(1));
    after_asked.map(|tried| tried.next).or(after_last).map_or(SeedWish::Last, SeedWish::This)
}

/// A job with this wish was asked for, of so many pictures.
pub(super) fn asked(state: &mut State, wish: SeedWish, count: u32) {
    if wish == SeedWish::AsSet {
        state.parameters.seed_taken(count);
    }
    state.prompt.tried = match wish {
        SeedWish::This(seed) => Some(Tried {
            prompt: state.prompt.editor.text().to_owned(),
            next: seed.wrapping_add(u64::from(count)),
        }),
        SeedWish::AsSet | SeedWish::New | SeedWish::Last => None,
    };
}
