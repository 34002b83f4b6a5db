//! What all cells of a matrix share.

use std::sync::Arc;

use anyhow::Result;

use super::cells::Cell;
use crate::bed::{pages_that_show, unmake_products};
use crate::measure::Dependents;
use crate::scenario::{Matrix, Products, Recorded, Scenario};

/// What all cells share.
#[derive(Clone)]
pub(super) struct Ground<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) matrix: &'a Matrix,
    /// The scenario's file, for command lines.
    pub(super) file: &'a str,
    pub(super) products: Products,
    pub(super) dependents: Arc<Dependents>,
}

impl<'a> Ground<'a> {
    /// The catalogue of `admin_url`, for `scenario` and its `matrix`.
    pub(super) async fn of(
        admin_url: &str,
        scenario: &'a Scenario,
        matrix: &'a Matrix,
        file: &'a str,
    ) -> Result<Self> {
        let products = Products::read(admin_url).await?;
        let dependents = pages_that_show(admin_url).await?.into();
        Ok(Self { scenario, matrix, file, products, dependents })
    }

    /// The same with the products that are there now, for a cell whose load makes some.
    pub(super) async fn as_of_now(&self, admin_url: &str, cell: &Cell<'_>) -> Result<Self> {
        let mut now = self.clone();
        if cell.workload.creates() {
            now.products = Products::read(admin_url).await?;
        }
        Ok(now)
    }

    /// Deletes what the loads of `cell` have made, from the id `first` on: what is newest is a part of what is
    /// compared, and is to be the same for all.
    pub(super) async fn unmake(&self, admin_url: &str, cell: &Cell<'_>, first: u32) -> Result<()> {
        if cell.workload.creates() {
            unmake_products(admin_url, first).await?;
        }
        Ok(())
    }

    /// The sequence of a cell whose workload is recorded.
    pub(super) fn recorded(&self, cell: &Cell<'_>) -> Option<&'a Recorded> {
        self.scenario.recorded.get(cell.workload_number - 1)?.as_deref()
    }
}
