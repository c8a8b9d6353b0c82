//! What pictures of some sizes are expected to take, by the latest that were drawn.

use std::collections::HashMap;

use rusqlite::params;

use super::{Library, LibraryError};
use crate::job::Size;
use crate::job::costs::{Cost, CostsRequest};

/// Pictures that are looked at.
const LOOKED_AT: u32 = 500;
/// Of one size the latest so many count.
const COUNTED: usize = 5;

/// What pictures of one size took.
#[derive(Debug, Clone, Default)]
struct Seen {
    /// Seconds of a step, of each.
    steps: Vec<f64>,
    /// Seconds before and after the steps, of each.
    around: Vec<f64>,
    peak: Option<u64>,
}

impl Library {
    /// What pictures are expected to take on a card, or on the CPU, in the order of the sizes that are asked for. Times are the median of the latest
    /// of that size. Of a size that was not drawn they are reckoned from the nearest: what is around the steps by the
    /// pixels, and a step by the power of the pixels that the sizes which were drawn show, or by the pixels where there is
    /// one.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn costs(&self, asked: &CostsRequest, card: Option<&str>) -> Result<Vec<Cost>, LibraryError> {
        let seen = self.seen(asked, card)?;
        let power = power(&seen);
        Ok(asked.sizes.iter().map(|size| cost(*size, asked.steps, &seen, power)).collect())
    }

    fn seen(&self, asked: &CostsRequest, card: Option<&str>) -> Result<HashMap<Size, Seen>, LibraryError> {
        let fault = self.fault("reading what pictures took");
        let mut query = self
            .db
            .prepare_cached(
                "SELECT width, height, steps, denoise, encode + pictures.decode, \
                 usage.peak + COALESCE(context, foreseen_context) FROM pictures JOIN jobs ON jobs.id = job \
                 LEFT JOIN usage ON picture = pictures.id \
                 WHERE model = ?1 AND jobs.precision = ?2 AND origin = 'flux-tui' AND CASE WHEN ?4 IS NULL \
                 THEN card IS NULL AND pictures.precision LIKE 'fp32%' ELSE card = ?4 END \
                 ORDER BY pictures.id DESC LIMIT ?3",
            )
            .map_err(&fault)?;
        // What was drawn on cards has what it took there; only the CPU computes in fp32.
        let asked = params![asked.model.as_str(), asked.load.precision.to_string(), LOOKED_AT, card];
        let mut rows = query.query(asked).map_err(&fault)?;
        let mut seen: HashMap<Size, Seen> = HashMap::new();
        while let Some(row) = rows.next().map_err(&fault)? {
            let side = |column| row.get::<_, u32>(column).map_err(&fault);
            let Ok(size) = Size::new(side(0)?, side(1)?) else { continue };
            let (steps, denoise, around) = (side(2)?, row.get::<_, f64>(3), row.get::<_, f64>(4));
            let (denoise, around) = (denoise.map_err(&fault)?, around.map_err(&fault)?);
            let of_it = seen.entry(size).or_default();
            if of_it.steps.len() < COUNTED && steps > 0 && denoise > 0.0 {
                of_it.steps.push(denoise / f64::from(steps));
                of_it.around.push(around);
            }
            let peak = row.get::<_, Option<i64>>(5).map_err(&fault)?.map(i64::cast_unsigned);
            of_it.peak = of_it.peak.max(peak);
        }
        seen.retain(|_, of_it| !of_it.steps.is_empty());
        Ok(seen)
    }
}

fn cost(size: Size, steps: u32, seen: &HashMap<Size, Seen>, power: f64) -> Cost {
    let whole = |seen: &Seen| (median(&seen.steps), median(&seen.around));
    if let Some(of_it) = seen.get(&size) {
        let (step, around) = whole(of_it);
        let seconds = Some(step * f64::from(steps) + around);
        return Cost { size, seconds, seen: true, peak: of_it.peak, too_large: false };
    }
    let far = |other: &Size| (tokens(*other) / tokens(size)).ln().abs();
    let nearest = seen.iter().min_by(|(one, _), (other, _)| far(one).total_cmp(&far(other)));
    let seconds = nearest.map(|(other, of_it)| {
        let (ratio, (step, around)) = (tokens(size) / tokens(*other), whole(of_it));
        step * ratio.powf(power) * f64::from(steps) + around * ratio
    });
    Cost { size, seconds, seen: false, peak: None, too_large: false }
}

/// By which power of the pixels a step takes longer: from the smallest and the largest that were drawn.
fn power(seen: &HashMap<Size, Seen>) -> f64 {
    let by_size = |one: &&Size, other: &&Size| tokens(**one).total_cmp(&tokens(**other));
    let ends = seen.keys().min_by(by_size).zip(seen.keys().max_by(by_size));
    let shown = ends.filter(|(least, most)| tokens(**most) > 1.5 * tokens(**least)).map(|(least, most)| {
        let step = |size: &Size| median(&seen[size].steps);
        (step(most) / step(least)).ln() / (tokens(*most) / tokens(*least)).ln()
    });
    // Attention is quadratic, all else linear; small pictures have what does not depend on the size.
    shown.map_or(1.0, |power| power.clamp(0.5, 2.0))
}

fn tokens(size: Size) -> f64 {
    size.image_tokens() as f64
}

fn median(numbers: &[f64]) -> f64 {
    let mut numbers = numbers.to_vec();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(side: u32) -> Size {
        Size::new(side, side).expect("on the grid")
    }

    fn seen(all: &[(u32, f64)]) -> HashMap<Size, Seen> {
        let one = |(side, step): &(u32, f64)| {
            (size(*side), Seen { steps: vec![*step], around: vec![1.0], peak: Some(u64::from(*side)) })
        };
        all.iter().map(one).collect()
    }

    #[test]
    fn a_size_that_was_drawn_takes_what_it_took() {
        let seen = seen(&[(512, 0.1), (1024, 0.4)]);
        let told = cost(size(512), 20, &seen, power(&seen));
        let expected =
            Cost { size: size(512), seconds: Some(3.0), seen: true, peak: Some(512), too_large: false };
        assert_eq!(told, expected);
    }

    #[test]
    fn another_is_reckoned_from_the_nearest_by_what_sizes_show() {
        let two = seen(&[(512, 0.1), (1024, 0.8)]);
        assert!((power(&two) - 1.5).abs() < 1e-9);
        let told = cost(size(2048), 10, &two, power(&two));
        assert!(!told.seen && told.peak.is_none());
        assert!((told.seconds.expect("reckoned") - (0.8 * 8.0 * 10.0 + 4.0)).abs() < 1e-9);
        let one = seen(&[(512, 0.1)]);
        assert!((cost(size(1024), 10, &one, power(&one)).seconds.expect("reckoned") - 8.0).abs() < 1e-9);
        assert_eq!(cost(size(512), 10, &HashMap::new(), 1.0).seconds, None);
    }

    #[test]
    fn the_median_is_not_led_by_one_that_was_slow() {
        assert!((median(&[0.1, 9.0, 0.2]) - 0.2).abs() < 1e-12);
    }
}
