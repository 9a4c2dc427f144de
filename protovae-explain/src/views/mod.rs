//! Views of a trained model: what its prototypes are, who is near them, and what a prediction rests on.
