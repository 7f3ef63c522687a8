//! `modelrow explain`: the page of a code.

use crate::args::ExplainArgs;
use crate::exit::Stop;
use anstream::println;
use diag::Code;

pub(crate) fn explain(args: &ExplainArgs) -> Result<(), Stop> {
    let Some(text) = &args.code else {
        for code in Code::ALL {
            println!("{code}  {}", code.title());
        }
        return Ok(());
    };
    let code: Code = text.parse().map_err(|unknown: diag::UnknownCode| {
        Stop::usage(
            Code::X101,
            "CODE",
            unknown.to_string(),
            "`modelrow explain` without a code lists them all",
        )
    })?;
    println!("{}", code.page().trim_end());
    Ok(())
}
