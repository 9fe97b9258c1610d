//! The words around a figure.

/// Title, axis labels and notes of a figure.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Words {
    /// Title above the figure; papers have a caption instead.
    pub title: Option<String>,
    /// Label of the horizontal axis with its unit, such as `Training compute (FLOPs)`.
    pub x_label: String,
    /// Label of the vertical axis with its unit.
    pub y_label: String,
    /// What a reader must know, such as `2 diverged runs left out`; below the figure.
    pub notes: Vec<String>,
}

impl Words {
    /// Axis labels alone.
    pub fn axes(x_label: &str, y_label: &str) -> Words {
        Words { x_label: x_label.to_owned(), y_label: y_label.to_owned(), ..Words::default() }
    }

    /// The title, or what is drawn against what: for those who cannot see the figure.
    pub(crate) fn heading(&self) -> String {
        self.title.clone().unwrap_or_else(|| format!("{} against {}", self.y_label, self.x_label))
    }

    /// The same with more notes.
    pub(crate) fn with(&self, notes: impl IntoIterator<Item = String>) -> Words {
        let mut words = self.clone();
        words.notes.extend(notes);
        words
    }
}
