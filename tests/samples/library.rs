//! Messages about pictures of the library, a sample of each kind.

use flux_tui::job::grid::GridId;
use flux_tui::job::*;
use flux_tui::model::ModelName;
use flux_tui::usage::{Compared, Foreseen};
use flux_tui::wire::library::{LibraryRequest, LibraryResponse, PictureDetails};

fn content() -> Content {
    Content { bytes: u64::MAX, sha256: [0xa7; 32] }
}

fn tags() -> Vec<Tag> {
    vec![Tag::new("水墨").expect("it is one"), Tag::new("a fox").expect("it is one")]
}

/// Every question and change.
pub fn requests(picture: &Picture) -> Vec<LibraryRequest> {
    let rating = Rating::try_from(4).expect("it is one");
    let marks = [
        MarkChange::Rate(rating),
        MarkChange::Favourite(true),
        MarkChange::Tag { add: tags(), remove: Vec::new() },
        MarkChange::Trash(false),
    ];
    let change = |mark| LibraryRequest::Change(PictureChange { picture: PictureId(7), mark });
    let query = PictureQuery {
        text: SearchText::new("狐狸 fox").expect("it is short"),
        tags: tags(),
        rating,
        favourite: true,
        model: Some(ModelName::new("nano")),
        parent: Some(PictureId(1)),
        grid: Some(GridId(3)),
        since: Some(i64::MIN),
        until: Some(i64::MAX),
        trashed: true,
        before: Some(PictureId(9)),
    };
    let prompt = Prompt::new("a fox").expect("it is not empty");
    let last = LastDrawn { at: i64::MIN, picture: PictureId(i64::MAX) };
    let prompts = PromptQuery { text: query.text.clone(), before: Some(last) };
    let found = FoundPicture {
        path: "/测试/c.png".into(),
        content: Some(content()),
        written_at: -1,
        recipe: picture.recipe.clone(),
        origin: Origin::A1111,
    };
    let mut requests: Vec<_> = marks.into_iter().map(change).collect();
    requests.extend([
        LibraryRequest::Search { query: Box::new(query), limit: 100 },
        LibraryRequest::Search { query: Box::default(), limit: 0 },
        LibraryRequest::Details(PictureId(-1)),
        LibraryRequest::Find { path: "/测试/a.png".into(), content: Some(content()) },
        LibraryRequest::Seeds(prompt),
        LibraryRequest::Prompts { query: prompts, limit: 100 },
        LibraryRequest::Files { after: Some(PictureId(i64::MAX)), limit: u32::MAX },
        LibraryRequest::Adopt { found: vec![found], purpose: Purpose::Repair, dry: true },
        LibraryRequest::PutInOrder { dry: false },
    ]);
    requests
}

/// Every answer.
pub fn responses(picture: &Picture) -> Vec<LibraryResponse> {
    let seed = TriedSeed {
        seed: u64::MAX,
        rating: Rating::default(),
        favourite: true,
        picture: PictureId(3),
        path: "/测试/a.png".into(),
        missing: true,
        trashed: false,
        model: ModelName::new("nano"),
        size: Size::new(16, 2048).expect("it is on the grid"),
        finished_at: -5,
    };
    let last = LastDrawn { at: -5, picture: PictureId(3) };
    let prompt = DrawnPrompt { best: picture.clone(), pictures: u64::MAX, last };
    let record = FileRecord { picture: PictureId(3), path: "/测试/a.png".into(), content: Some(content()) };
    let foreseen = Foreseen { peak: 1, context: 2, step: 0.5 };
    let usage = Some(Compared { foreseen, peak: Some(u64::MAX), step: None });
    let details = PictureDetails { picture: picture.clone(), content: Some(content()), usage };
    vec![
        LibraryResponse::Changed(Box::new(picture.clone())),
        LibraryResponse::Pictures(vec![picture.clone()]),
        LibraryResponse::Details(Box::new(details)),
        LibraryResponse::Found(Some(PictureId(3))),
        LibraryResponse::Found(None),
        LibraryResponse::Seeds(vec![seed]),
        LibraryResponse::Prompts(vec![prompt]),
        LibraryResponse::Files(vec![record]),
        LibraryResponse::Adopted(vec![
            Adoption::Taken(PictureId(1)),
            Adoption::Known(PictureId(2)),
            Adoption::Completed(PictureId(3)),
            Adoption::Moved { picture: PictureId(4), from: "/测试/b.png".into() },
            Adoption::Copy(PictureId(5)),
            Adoption::Foreign,
            Adoption::Refused("why".into()),
        ]),
        LibraryResponse::InOrder(Disorder { jobless: 1, orphans: usize::MAX, index: true }),
    ]
}

/// A library that was damaged.
pub fn rebuilt() -> Rebuilt {
    let aside = "/测试/library.sqlite3.broken-2026-01-02".into();
    Rebuilt {
        reason: "a bad page".into(),
        aside,
        jobs: 9,
        waiting: 2,
        pictures: 7,
        from_files: 1,
        lost: usize::MAX,
    }
}
