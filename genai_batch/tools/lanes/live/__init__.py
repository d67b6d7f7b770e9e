"""The live lane: generateContent now, many at a time, on the same job, ledger and results as the batch lane."""
