//! Pictures of the library that are changed, or found to be missing.

use super::Hub;
use crate::job::{Picture, PictureId};
use crate::library::Changed;
use crate::wire::message::Event;
use crate::wire::replay;

impl Hub {
    /// The library has a picture as another.
    pub fn picture_changed(&self, changed: Changed) {
        let mut state = self.state.borrow_mut();
        let Changed { picture, was_trashed } = changed;
        let state = &mut *state;
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
