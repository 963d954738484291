//! `metadata.csv`: the captions of a folder's pictures as Hugging Face's imagefolder reads them, `file_name,text`.

use super::super::{Failure, whole_file};
use candlewick::data::text::read_utf8;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The name of the file.
pub const TABLE: &str = "metadata.csv";

/// The table of a folder.
pub struct Table {
    path: PathBuf,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    /// The row of each file.
    places: HashMap<String, usize>,
    /// The columns of the files' names and of the captions.
    columns: [usize; 2],
    changed: bool,
}

impl Table {
    /// The table that lies in a folder, or a new one.
    ///
    /// # Errors
    /// When it is no CSV with the columns `file_name` and `text`.
    pub fn open(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(TABLE);
        if !path.exists() {
            let header = ["file_name", "text"].map(str::to_owned).to_vec();
            return Ok(Self { path, header, rows: vec![], places: HashMap::new(), columns: [0, 1], changed: false });
        }
        let told = |fault: String| Failure::Work(format!("{}: {fault}; repair it or move it away", path.display()));
        let text = read_utf8(&path)?;
        let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
        let cells = |row: &csv::StringRecord| row.iter().map(str::to_owned).collect::<Vec<_>>();
        let header = cells(reader.headers().map_err(|error| told(error.to_string()))?);
        let column =
            |name| header.iter().position(|cell| cell == name).ok_or_else(|| told(format!("has no column {name}")));
        let columns = [column("file_name")?, column("text")?];
        let rows = reader.records().map(|row| row.map(|row| cells(&row))).collect::<Result<Vec<_>, _>>();
        let rows = rows.map_err(|error| told(error.to_string()))?;
        let places = rows.iter().enumerate().map(|(at, row)| (row[columns[0]].clone(), at)).collect();
        Ok(Self { path, header, rows, places, columns, changed: false })
    }

    /// Whether a file has a caption.
    pub fn is_captioned(&self, file: &str) -> bool {
        self.places.get(file).is_some_and(|&at| !self.rows[at][self.columns[1]].is_empty())
    }

    /// Puts a file's caption in, in place of one that it has.
    pub fn insert(&mut self, file: &str, caption: String) {
        let [name, text] = self.columns;
        let at = *self.places.entry(file.to_owned()).or_insert_with(|| {
            let mut row = vec![String::new(); self.header.len()];
            file.clone_into(&mut row[name]);
            self.rows.push(row);
            self.rows.len() - 1
        });
        self.rows[at][text] = caption;
        self.changed = true;
    }

    /// Writes the table where something is new.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&mut self) -> Result<(), Failure> {
        if !self.changed {
            return Ok(());
        }
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(&self.header)?;
        for row in &self.rows {
            writer.write_record(row)?;
        }
        let content = writer.into_inner().map_err(|error| Failure::Work(error.to_string()))?;
        whole_file::write(&self.path, &content)?;
        self.changed = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rows_and_columns_that_are_there_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(TABLE);
        std::fs::write(&path, "year,file_name,text\n2020,a.png,mine\n2021,b.png,\n").unwrap();
        let mut table = Table::open(folder.path()).unwrap();
        assert!(table.is_captioned("a.png") && !table.is_captioned("b.png") && !table.is_captioned("c.png"));
        table.insert("b.png", "a dog, \"running\"".into());
        table.insert("c.png", "a cat".into());
        table.save().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "year,file_name,text\n2020,a.png,mine\n2021,b.png,\"a dog, \"\"running\"\"\"\n,c.png,a cat\n");
        std::fs::write(&path, "name\n").unwrap();
        assert!(Table::open(folder.path()).is_err());
    }
}
