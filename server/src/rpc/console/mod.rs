//! `ConsoleService`: what analysts ask.
