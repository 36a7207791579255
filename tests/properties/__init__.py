"""Laws that hold for any messages in any order, with inputs that Hypothesis draws; pure, too."""
