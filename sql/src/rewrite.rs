//! What the engine knows under another form: headers, JSON's operators, time zones and UNNEST become columns and calls.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments,
    Ident, ObjectName, ObjectNamePart, Spanned, Subscript, Value,
};
use datafusion_sql::sqlparser::tokenizer::Span;

use crate::parse::name_of;
use crate::resolve::{Resolver, arguments};
use crate::{header, unnested};

/// An identifier that names a column as it is.
pub fn resolved(name: impl Into<String>, span: Span) -> Expr {
    let mut ident = Ident::with_quote('"', name);
    ident.span = span;
    Expr::Identifier(ident)
}

pub fn call(name: &str, args: Vec<Expr>, span: Span) -> Expr {
    let mut ident = Ident::new(name);
    ident.span = span;
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(ident)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

impl Resolver<'_> {
    /// `_headers['x']` becomes the column of that header.
    pub fn header_access(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::CompoundFieldAccess { root, access_chain } = &*expr else { return ControlFlow::Continue(()) };
        let is_headers = match root.as_ref() {
            Expr::Identifier(ident) => ident.value.eq_ignore_ascii_case("_headers"),
            Expr::CompoundIdentifier(parts) => {
                matches!(parts.as_slice(), [table, name] if table.value == self.relation && name.value.eq_ignore_ascii_case("_headers"))
            }
            _ => false,
        };
        if !is_headers {
            return ControlFlow::Continue(());
        }
        let span = root.span();
        let name = match access_chain.as_slice() {
            [AccessExpr::Subscript(Subscript::Index { index: Expr::Value(value) })] => match &value.value {
                Value::SingleQuotedString(name) => Some(name.clone()),
                _ => None,
            },
            _ => None,
        };
        let Some(name) = name else {
            return self.refuse(span.start, "a header is named by a text", "write _headers['name']");
        };
        let column = header(&name);
        if !self.headers.contains(&name) {
            self.headers.push(name);
        }
        *expr = resolved(column, span);
        ControlFlow::Continue(())
    }

    /// JSON's operators are functions here.
    fn json_operator(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let span = expr.span();
        let Expr::BinaryOp { left, op, right } = expr else { return ControlFlow::Continue(()) };
        let name = match op {
            BinaryOperator::Arrow | BinaryOperator::HashArrow => "json_extract_path",
            BinaryOperator::LongArrow | BinaryOperator::HashLongArrow => "json_extract_path_text",
            _ => return ControlFlow::Continue(()),
        };
        let mut args = vec![std::mem::replace(left.as_mut(), Expr::value(Value::Null))];
        if matches!(op, BinaryOperator::HashArrow | BinaryOperator::HashLongArrow) {
            let path = match right.as_ref() {
                Expr::Value(value) => match &value.value {
                    Value::SingleQuotedString(path) => path.strip_prefix('{').and_then(|path| path.strip_suffix('}')),
                    _ => None,
                },
                _ => None,
            };
            let Some(path) = path else {
                return self.refuse(span.start, "a path is a text like '{a,0,b}'", "write x #>> '{a,0,b}'");
            };
            args.extend(path.split(',').map(|step| Expr::value(Value::SingleQuotedString(step.trim().to_owned()))));
        } else {
            args.push(std::mem::replace(right.as_mut(), Expr::value(Value::Null)));
        }
        *expr = call(name, args, span);
        ControlFlow::Continue(())
    }

    pub fn rewrite(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let span = expr.span();
        match expr {
            Expr::Identifier(ident) => {
                let ident = ident.clone();
                let column = self.column(&ident).and_then(|name| self.operand(name, ident.span));
                // Other names may be wrong as well: go on with a value that fits everywhere.
                *expr = column.unwrap_or_else(|| Expr::value(Value::Null));
            }
            Expr::CompoundIdentifier(parts) => {
                let parts = std::mem::take(parts);
                let column = self.qualified(&parts).and_then(|name| self.operand(name, span));
                *expr = column.unwrap_or_else(|| Expr::value(Value::Null));
            }
            Expr::BinaryOp { .. } => return self.json_operator(expr),
            Expr::AtTimeZone { timestamp, time_zone } => {
                let null = || Expr::value(Value::Null);
                let args =
                    vec![std::mem::replace(timestamp.as_mut(), null()), std::mem::replace(time_zone.as_mut(), null())];
                *expr = call("at_time_zone", args, span);
            }
            Expr::Function(function) if name_of(&function.name).eq_ignore_ascii_case("unnest") => {
                self.depth -= 1;
                if let Some([list]) = arguments(function).as_deref() {
                    let index = self.unnests.len();
                    self.unnests.push(call("unnest_list", vec![list.clone()], span));
                    *expr = resolved(unnested(index), span);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
