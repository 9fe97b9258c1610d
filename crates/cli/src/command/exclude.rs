//! `scalelaw exclude` and `include`: runs that no fit and no figure is to use.

use serde_json::json;
use store::Store;

use super::table::count;
use crate::args::{Exclude, Selected};
use crate::exit::{Failure, print};
use crate::growth::now_ms;
use crate::place::Place;
use crate::selection::{Selection, ids, select};

/// Leaves runs out.
pub(crate) async fn exclude(place: &Place, options: &Exclude) -> Result<u8, Failure> {
    let Selection { sweep, runs } = selected(place, &options.selected).await?;
    let store = Store::open_beside(&place.state.database()).await?;
    store.exclude(&ids(&runs), &options.reason, now_ms()).await?;
    store.close().await;
    if place.json {
        print(&json!({"schema_version": 1, "sweep": sweep.name, "excluded": ids(&runs)}).to_string());
        return Ok(0);
    }
    let lines: Vec<String> = runs.iter().map(|run| format!("  {} (run {})\n", run.label(), run.run)).collect();
    print(&format!(
        "{} left out of fits and figures: {}\n{}",
        count(runs.len(), "run"),
        options.reason,
        lines.concat()
    ));
    Ok(0)
}

/// Takes runs back.
pub(crate) async fn include(place: &Place, options: &Selected) -> Result<u8, Failure> {
    let Selection { sweep, mut runs } = selected(place, options).await?;
    runs.retain(|run| run.excluded.is_some());
    if runs.is_empty() {
        return Err(Failure::usage(format!("none of these runs of {} is excluded", sweep.name)));
    }
    let store = Store::open_beside(&place.state.database()).await?;
    store.include(&ids(&runs)).await?;
    store.close().await;
    if place.json {
        print(&json!({"schema_version": 1, "sweep": sweep.name, "included": ids(&runs)}).to_string());
    } else {
        print(&format!("{} back in fits and figures", count(runs.len(), "run")));
    }
    Ok(0)
}

async fn selected(place: &Place, options: &Selected) -> Result<Selection, Failure> {
    let store = place.read().await?;
    let selection = select(place, &store, options).await?;
    store.close().await;
    Ok(selection)
}
