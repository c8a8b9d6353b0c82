//! Which grids have cells that are not over, and which have come to an end.

use super::Hub;
use crate::job::JobId;
use crate::job::grid::GridId;
use crate::wire::message::Event;

impl Hub {
    /// Whether so many jobs with so many bytes of text may be added.
    ///
    /// # Errors
    /// How many jobs wait.
    pub fn has_room_for(&self, jobs: usize, text: usize) -> Result<(), usize> {
        let state = self.state.borrow();
        if state.queue.has_room_for(jobs, text) { Ok(()) } else { Err(state.queue.len()) }
    }

    /// The jobs of a grid that are not over.
    #[must_use]
    pub fn cells_of(&self, grid: GridId) -> Vec<JobId> {
        let state = self.state.borrow();
        let of_it = |cell: crate::job::grid::GridCell| cell.grid == grid;
        state
            .queue
            .jobs()
            .filter(|status| status.job.cell.is_some_and(of_it))
            .map(|status| status.id)
            .collect()
    }

    /// The cell of a grid that a job is drawn for.
    #[must_use]
    pub fn cell_of(&self, job: JobId) -> Option<crate::job::grid::GridCell> {
        self.state.borrow().queue.job(job).and_then(|status| status.job.cell)
    }

    /// Grids whose cells may all be over.
    #[must_use]
    pub fn take_due_grids(&self) -> Vec<GridId> {
        std::mem::take(&mut self.state.borrow_mut().due_grids).into_iter().collect()
    }

    /// The contact sheet of a grid is written.
    pub fn grid_written(&self, grid: GridId) {
        self.tell(&self.state.borrow(), Event::Grid(grid));
    }
}
