"""What work costs: tokens of requests, prices of models, amounts. It knows neither jobs nor ledger; `estimating` puts it together."""
