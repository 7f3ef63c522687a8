//! What a run costs by the model's price list.

use crate::view::Cost;
use engine::media::Media;
use profile::call::Call;
use profile::lang::{Bound, Draws, Root, Scope};
use profile::revision::Revision;
use serde_json::Value;
use store::budgets::Price;
use uuid::Uuid;

/// The estimate; absent without a price list, or where no line of it holds.
pub(crate) fn estimate(
    revision: &Revision,
    call: &Call,
    media: &Media,
    now_ms: i64,
) -> Option<Cost> {
    let pricing = revision.capabilities.pricing.as_ref()?;
    let params = Value::Object(call.params.clone());
    let mut scope = Scope::new(Draws::new(i128::from(now_ms) * 1_000_000, Uuid::nil()));
    scope.lend(Root::Params, &params);
    scope.inputs(media);
    let line = pricing.price.iter().find(|line| {
        let holds = line.when.as_ref().map(|when| when.holds(&scope));
        holds.is_none_or(|held| held.unwrap_or(false))
    })?;
    let quantity = match &pricing.quantity {
        None => 1.0,
        Some(path) => number(path.items(&scope)?.first()?)?,
    };
    Some(Cost {
        currency: pricing.currency.clone(),
        estimate: Some(decimal(line.amount * quantity)),
        actual: None,
    })
}

/// The estimate as budgets count it; absent where a price list gives money away.
pub(crate) fn price(cost: &Cost) -> Option<Price> {
    let amount = cost
        .estimate
        .as_ref()
        .filter(|amount| !amount.starts_with('-'))?;
    Some(Price {
        amount: amount.clone(),
        currency: cost.currency.clone(),
    })
}

/// With what it came to, once the run has ended: by the price list, where it was paid for. `spent`: `none`, `maybe`, `yes`.
pub(crate) fn so_far(cost: Cost, spent: &str, ended: bool) -> Cost {
    let actual = match spent {
        "none" if ended => Some("0".to_owned()),
        "yes" if ended => cost.estimate.clone(),
        _ => None,
    };
    Cost { actual, ..cost }
}

fn number(bound: &Bound<'_>) -> Option<f64> {
    match bound {
        Bound::Value(value) => value.as_f64(),
        Bound::Input { .. } => None,
    }
}

/// The largest amount; the database keeps twelve digits before the point.
const MOST: f64 = 999_999_999_999.0;

/// Up to six digits after the point, as the database keeps money.
fn decimal(amount: f64) -> String {
    let text = format!("{:.6}", amount.clamp(-MOST, MOST));
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_written_without_needless_digits() {
        let cases = [
            (0.8, "0.8"),
            (1.0, "1"),
            (0.1 + 0.2, "0.3"),
            (0.000_000_1, "0"),
            (12.345_678_9, "12.345679"),
            (1e300, "999999999999"),
            (f64::INFINITY, "999999999999"),
        ];
        for (amount, want) in cases {
            assert_eq!(decimal(amount), want);
        }
    }
}
