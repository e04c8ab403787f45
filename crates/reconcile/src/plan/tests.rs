//! What the planner decides, case by case: each step of a story is one snapshot of the plan made.

mod binding;
mod create;
mod delete;
mod driver;
mod facts;
mod health;
mod logical;
mod properties;
mod recipe;
mod render;
mod roll;
mod scale;
mod scope;
mod stories;
mod tasks;
mod world;

use world::World;
