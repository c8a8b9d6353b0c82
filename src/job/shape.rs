//! Sizes by their shape: a ratio of the sides, and megapixels.

use std::fmt;
use std::str::FromStr;

use super::{JobError, SIZE_MAX, SIZE_MULTIPLE, Size};

/// Pixels of a megapixel: 1024 × 1024, the size that FLUX.1 was made for.
pub const MEGAPIXEL: f64 = 1_048_576.0;
/// The largest number of a ratio.
const RATIO_MAX: u32 = 100;
/// Megapixels that can be asked for.
const MEGAPIXELS: std::ops::RangeInclusive<f64> = 0.01..=4.0;

/// Width to height, as `3:2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio {
    width: u32,
    height: u32,
}

impl Ratio {
    /// Those that are offered, from square to wide and then upright.
    pub const USUAL: [Self; 9] = [
        Self { width: 1, height: 1 },
        Self { width: 4, height: 3 },
        Self { width: 3, height: 2 },
        Self { width: 16, height: 9 },
        Self { width: 21, height: 9 },
        Self { width: 3, height: 4 },
        Self { width: 2, height: 3 },
        Self { width: 9, height: 16 },
        Self { width: 9, height: 21 },
    ];

    /// That of a size.
    #[must_use]
    pub fn of(size: Size) -> Self {
        Self { width: size.width(), height: size.height() }
    }

    /// The size of this shape with about so many megapixels: each side the nearest multiple of 16. Where a side would be
    /// longer than can be drawn, both are shorter, in the same shape.
    ///
    /// # Errors
    /// [`JobError::Megapixels`].
    pub fn size(self, megapixels: f64) -> Result<Size, JobError> {
        if !MEGAPIXELS.contains(&megapixels) {
            return Err(JobError::Megapixels(megapixels.to_string()));
        }
        let ratio = f64::from(self.width) / f64::from(self.height);
        let (width, height) =
            ((megapixels * MEGAPIXEL * ratio).sqrt(), (megapixels * MEGAPIXEL / ratio).sqrt());
        let too_long = (width.max(height) / f64::from(SIZE_MAX)).max(1.0);
        let side = |exact: f64| {
            let steps = (exact / too_long / f64::from(SIZE_MULTIPLE)).round() as u32;
            (steps * SIZE_MULTIPLE).clamp(SIZE_MULTIPLE, SIZE_MAX)
        };
        Size::new(side(width), side(height))
    }
}

/// Megapixels of a size.
#[must_use]
pub fn megapixels(size: Size) -> f64 {
    f64::from(size.width()) * f64::from(size.height()) / MEGAPIXEL
}

/// Megapixels as they are written.
///
/// # Errors
/// [`JobError::Megapixels`].
pub fn read_megapixels(text: &str) -> Result<f64, JobError> {
    let number = text.trim().parse().ok().filter(|number| MEGAPIXELS.contains(number));
    number.ok_or_else(|| JobError::Megapixels(text.chars().take(40).collect()))
}

impl FromStr for Ratio {
    type Err = JobError;
    fn from_str(text: &str) -> Result<Self, JobError> {
        let number = |side: &str| side.trim().parse().ok().filter(|side| (1..=RATIO_MAX).contains(side));
        let sides = text.split_once(':').and_then(|(width, height)| Some((number(width)?, number(height)?)));
        let (width, height) = sides.ok_or_else(|| JobError::Ratio(text.chars().take(40).collect()))?;
        Ok(Self { width, height })
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(ratio: &str, megapixels: f64) -> (u32, u32) {
        ratio.parse::<Ratio>().and_then(|ratio| ratio.size(megapixels)).map(Into::into).expect("a size")
    }

    #[test]
    fn a_shape_and_megapixels_are_a_size() {
        assert_eq!(size("1:1", 1.0), (1024, 1024));
        assert_eq!(size("1:1", 0.25), (512, 512));
        assert_eq!(size("3:2", 1.0), (1248, 832));
        assert_eq!(size("2:3", 1.0), (832, 1248));
        assert_eq!(size("16:9", 1.0), (1360, 768));
        assert_eq!(size("21:9", 2.0), (2048, 880), "no side is longer than can be drawn");
    }

    #[test]
    fn all_that_are_offered_have_their_shape_and_about_their_pixels() {
        for ratio in Ratio::USUAL {
            for asked in [0.25, 0.5, 1.0, 1.5] {
                let size = ratio.size(asked).expect("a size");
                let shape = f64::from(size.width()) / f64::from(size.height());
                let wanted = f64::from(ratio.width) / f64::from(ratio.height);
                assert!((shape / wanted - 1.0).abs() < 0.05, "{ratio} at {asked}: {size}");
                assert!((megapixels(size) / asked - 1.0).abs() < 0.05, "{ratio} at {asked}: {size}");
            }
        }
    }

    #[test]
    fn what_is_none_is_refused_with_what_would_work() {
        for text in ["", "3", "3:0", "0:1", "3:2:1", "a:b", "101:1", "-3:2"] {
            let message = text.parse::<Ratio>().expect_err("no ratio").to_string();
            assert!(message.contains("as in 3:2"), "{message}");
        }
        for text in ["", "0", "-1", "NaN", "inf", "5", "x"] {
            let message = read_megapixels(text).expect_err("none").to_string();
            assert!(message.contains("0.01 to 4"), "{message}");
        }
        assert_eq!("100:1".parse::<Ratio>().and_then(|it| it.size(4.0)).map(Size::width), Ok(2048));
    }
}
