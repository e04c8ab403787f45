//! What the planner decides, case by case: each step of a story is one snapshot of the plan made.

mod create;
mod delete;
mod driver;
mod health;
mod logical;
mod render;
mod scale;
mod scope;
mod world;

use world::World;
