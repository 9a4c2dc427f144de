//! Relevance propagation: rules, composites, and propagation from a prototype to the pixels.
