//! `modelrow profile schemas`: the JSON Schemas that editors complete and check with.

use crate::args::SchemasArgs;
use crate::exit::Stop;
use crate::ui;
use diag::Code;
use std::fs;
use std::io;
use std::path::Path;

pub(crate) fn schemas(args: &SchemasArgs) -> Result<(), Stop> {
    write(&args.out).map_err(|error| {
        Stop::house(
            Code::X103,
            format!("`{}` cannot be written: {error}", args.out.display()),
            "give `--out` a folder that you may write to",
        )
    })
}

fn write(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (name, schema) in profile::schemas::schemas() {
        let file = folder.join(format!("{name}.json"));
        fs::write(&file, format!("{schema:#}\n"))?;
        ui::done(&file.display().to_string());
    }
    Ok(())
}
