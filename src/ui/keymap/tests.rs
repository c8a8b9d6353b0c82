//! The table is sound, and its forms meet.

use crossterm::event::KeyEvent;

use super::*;

#[test]
fn no_key_means_two_things_in_one_place() {
    for (index, one) in KEYMAP.iter().enumerate() {
        for two in KEYMAP[index + 1..].iter().filter(|two| two.context == one.context) {
            for chord in one.keys {
                assert!(!two.keys.contains(chord), "{} is {} and {}", chord.name(), one.help, two.help);
            }
        }
    }
}

#[test]
fn every_line_has_a_key_and_a_help_text_and_is_the_only_one_of_its_action_there() {
    for (index, binding) in KEYMAP.iter().enumerate() {
        assert!(!binding.keys.is_empty() && !binding.help.is_empty(), "{binding:?}");
        let again = KEYMAP[index + 1..]
            .iter()
            .find(|line| (line.context, line.action) == (binding.context, binding.action));
        assert!(again.is_none(), "{binding:?} is twice in the table: give it both keys in one line");
    }
}

#[test]
fn every_context_is_listed() {
    for binding in KEYMAP {
        assert!(Context::ALL.contains(&binding.context), "{:?} is not in Context::ALL", binding.context);
    }
}

#[test]
fn a_question_mark_is_text_in_the_prompt_and_help_elsewhere() {
    let keymap = Keymap::default();
    let key = KeyEvent::new(KeyCode::Char('?'), KeyModifiers::SHIFT);
    assert_eq!(keymap.lookup(&[Context::Prompt, Context::Everywhere], &key), None);
    let outside = [Context::Queue, Context::OutsidePrompt, Context::Everywhere];
    assert_eq!(keymap.lookup(&outside, &key), Some(Action::Help));
}

#[test]
fn shift_tab_is_one_key_in_both_its_forms() {
    let keymap = Keymap::default();
    for (code, modifiers) in [
        (KeyCode::BackTab, KeyModifiers::NONE),
        (KeyCode::BackTab, KeyModifiers::SHIFT),
        (Tab, KeyModifiers::SHIFT),
    ] {
        let key = KeyEvent::new(code, modifiers);
        assert_eq!(keymap.lookup(&[Context::Everywhere], &key), Some(Action::PreviousPane), "{key:?}");
    }
}
