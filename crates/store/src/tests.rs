//! Against a real PostgreSQL: the statements' promises, one sentence each.

mod access;
mod at_once;
mod budgets;
mod cache;
mod catalogue;
mod durability;
mod erase;
mod fallback;
mod faults;
mod fleet;
mod house;
mod live_attempt;
mod operate;
mod pauses;
mod receipts;
mod repeats;
mod rewind;
mod schema;
mod settle;
mod work;
