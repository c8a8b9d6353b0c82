//! Pictures of the library that are changed, or found to be missing.

use super::{Hub, State};
use crate::job::{JobId, Picture, PictureId};
use crate::library::Changed;
use crate::wire::message::Event;
use crate::wire::replay;

impl Hub {
    /// The library has a picture as another. Whoever changes it may be ahead of the engine's thread, which has recorded
    /// it and not yet said so: it is told as changed once it was told as finished.
    pub fn picture_changed(&self, changed: Changed) {
        let mut state = self.state.borrow_mut();
        if state.queue.draws(changed.picture.job, changed.picture.index) {
            state.early.push(changed);
        } else {
            self.tell_changed(&mut state, changed);
        }
    }

    /// What was changed of a picture before it was told that it is not being drawn any more.
    pub(super) fn tell_early(&self, state: &mut State, job: JobId, index: u32) {
        let is_of_it = |changed: &mut Changed| (changed.picture.job, changed.picture.index) == (job, index);
        let early: Vec<Changed> = state.early.extract_if(.., is_of_it).collect();
        early.into_iter().for_each(|changed| self.tell_changed(state, changed));
    }

    fn tell_changed(&self, state: &mut State, Changed { picture, was_trashed }: Changed) {
        replay::picture_changed(&mut state.history, &mut state.history_total, picture.clone(), was_trashed);
        self.tell(state, Event::Picture { picture: Box::new(picture), was_trashed });
    }

    /// These are the newest pictures of the library now, and so many there are in all.
    pub fn pictures_changed(&self, mut pictures: Vec<Picture>, total: u64) {
        replay::shorten_history(&mut pictures);
        let mut state = self.state.borrow_mut();
        (state.history, state.history_total) = (pictures.clone(), total);
        self.tell(&state, Event::History { pictures, total });
    }

    /// A picture's file was not there when it was asked for.
    pub fn picture_is_missing(&self, id: PictureId) {
        let mut state = self.state.borrow_mut();
        let known = state.history.iter_mut().find(|picture| picture.id == id && !picture.missing);
        if let Some(picture) = known {
            picture.missing = true;
            let picture = Box::new(picture.clone());
            self.tell(&state, Event::Picture { picture, was_trashed: false });
        }
    }
}
