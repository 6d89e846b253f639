mod landscape;
mod learning;
