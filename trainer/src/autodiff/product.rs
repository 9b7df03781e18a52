//! Products of matrices.

use gemm::Parallelism;

use super::Real;

/// A matrix, row by row, or the transpose of one.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a, T> {
    values: &'a [T],
    rows: usize,
    columns: usize,
    transposed: bool,
}

impl<'a, T> Matrix<'a, T> {
    /// `values` with `columns` numbers per row. Panics when they are no whole number of rows.
    pub fn new(values: &'a [T], columns: usize) -> Matrix<'a, T> {
        assert!(columns > 0 && values.len().is_multiple_of(columns), "whole rows of {columns}");
        Matrix { values, rows: values.len() / columns, columns, transposed: false }
    }

    /// Its transpose.
    pub fn t(self) -> Matrix<'a, T> {
        Matrix { rows: self.columns, columns: self.rows, transposed: !self.transposed, ..self }
    }

    /// Steps in memory from one column and from one row to the next.
    fn strides(&self) -> (isize, isize) {
        match self.transposed {
            false => (1, self.columns as isize),
            true => (self.rows as isize, 1),
        }
    }
}

/// `out = a · b`, or `out += a · b`; `out` is row by row. Runs on the calling thread, and gives the same
/// result whatever the others do.
///
/// Panics when sizes do not fit.
pub fn multiply<T: Real>(out: &mut [T], a: Matrix<T>, b: Matrix<T>, accumulate: bool) {
    assert_eq!(a.columns, b.rows, "inner sizes of a product");
    assert_eq!(out.len(), a.rows * b.columns, "size of a product");
    let ((a_column, a_row), (b_column, b_row)) = (a.strides(), b.strides());
    // SAFETY: `Matrix::new` and the assertions above make every index of the m × n result and of the
    // m × k and k × n factors, under these strides, lie within its slice; `out` is borrowed mutably, so
    // it overlaps neither factor; T is f32 or f64, which gemm knows.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out.as_mut_ptr(),
            1,
            b.columns as isize,
            accumulate,
            a.values.as_ptr(),
            a_column,
            a_row,
            b.values.as_ptr(),
            b_column,
            b_row,
            T::one(),
            T::one(),
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
