//! A grid rated, tagged and thrown away from the command line.

use super::{Home, grid};

#[test]
fn a_grid_is_rated_tagged_and_thrown_away_by_commands() {
    let home = Home::new();
    home.run(&["generate", "an owl", "--steps", "2", "--seed", "9"]).done();
    assert_eq!(grid(&home, "a fox", &["--axis", "steps=1,2", "--json"]).code, 0);
    let pictures = |more: &[&str]| {
        let told = home.run(&[&["library", "list", "--json"], more].concat()).json();
        told["pictures"].as_array().expect("a list").len()
    };
    let says = |arguments: &[&str], what: &str| {
        let ran = home.run(&[&["grids"], arguments].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (0, what), "{ran:?}");
    };
    says(&["rate", "1", "4"], "grid 1 of 2 pictures: rated 4\n");
    says(&["favourite", "1"], "grid 1 of 2 pictures: a favourite\n");
    assert_eq!(pictures(&["--favourite"]), 2, "pictures of a good grid are found with it");
    says(&["favourite", "1", "--off"], "grid 1 of 2 pictures: no favourite\n");
    assert_eq!(pictures(&["--favourite"]), 0);
    says(&["tag", "1", "+Fox", "-dog"], "grid 1 of 2 pictures: +fox -dog\n");
    assert_eq!(pictures(&["--tag", "fox"]), 2);
    says(&["trash", "1"], "grid 1 of 2 pictures: in the trash\n");
    assert_eq!(pictures(&[]), 1);
    says(&["restore", "1"], "grid 1 of 2 pictures: out of the trash\n");
    assert_eq!(pictures(&[]), 3);
    for (arguments, why) in
        [(["rate", "99", "3"], "no grid 99"), (["rate", "1", "9"], "0 to 5"), (["tag", "1", "+"], "tag")]
    {
        let refused = home.run(&[&["grids"], arguments.as_slice()].concat());
        assert!(refused.code == 2 && refused.stderr.contains(why), "{refused:?}");
    }
}
