"""What a schedule does, worked out once as a graph, and evaluated for any networks and costs.

    from simnet.lowering.lower import lower
    from simnet.lowering.price import price
    from simnet.lowering.batch import dedicated
    from simnet.lowering.evaluate import evaluate
    from simnet.lowering.simulate import simulate_graph
    from simnet.lowering.break_even import break_even

    graph = lower(schedule, job)        # a Graph: operations of all ranks, no times
    graph.calls                         # distinct calls, C of them (simnet.costs.Call)
    cost_s = price(graph, cost_model)   # (C,) seconds; or make it from graph.calls yourself

    # Vectorised, P points at once; cost_s (C,) or (P, C), networks P topologies or a batch:
    batch = dedicated(rate_bps=rates, latency_s=50e-6)     # Links, each argument one or (P,)
    found = evaluate(graph, cost_s, batch, transfer_share=cost_model.transfer_share, outside_s=0.0)
    found.total_s, found.compute_s, found.exposed_s, found.host_s      # (P,), NaN where refused
    found.refused, found.why            # (P,) of bool; {reason: number of points}

    # One network, discrete-event, whatever it is; what `simulate` of the schedule would say:
    trace = simulate_graph(graph, cost_s, network, transfer_share=..., outside_s=0.0)

    # Rates of links at which one takes as long as the other:
    break_even(graph_a, cost_a, graph_b, cost_b, latency_s=..., low_bps=..., high_bps=...)

See docs/lowering.md.
"""
